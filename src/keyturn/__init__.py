"""keyturn: a rotation-aware secret cache for warm Python environments.

Every public name is loaded when it is first used, so that `import keyturn` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keyturn.announcing import announce as announce
    from keyturn.client import SecretCache as SecretCache
    from keyturn.errors import (
        AccessDeniedError as AccessDeniedError,
        ConfigurationError as ConfigurationError,
        DecryptionError as DecryptionError,
        InvalidSecretIdError as InvalidSecretIdError,
        KeyturnError as KeyturnError,
        MarkerConflictError as MarkerConflictError,
        MarkerTableError as MarkerTableError,
        SecretDeletedError as SecretDeletedError,
        SecretError as SecretError,
        SecretFormatError as SecretFormatError,
        SecretKindError as SecretKindError,
        SecretNotFoundError as SecretNotFoundError,
        StageNotFoundError as StageNotFoundError,
        UnavailableError as UnavailableError,
    )
    from keyturn.status import (
        CacheStatus as CacheStatus,
        HeldStatus as HeldStatus,
        TableStatus as TableStatus,
    )
    from keyturn.values import SecretVersion as SecretVersion

_HOMES = {
    "announcing": ("announce",),
    "client": ("SecretCache",),
    "errors": (
        "AccessDeniedError",
        "ConfigurationError",
        "DecryptionError",
        "InvalidSecretIdError",
        "KeyturnError",
        "MarkerConflictError",
        "MarkerTableError",
        "SecretDeletedError",
        "SecretError",
        "SecretFormatError",
        "SecretKindError",
        "SecretNotFoundError",
        "StageNotFoundError",
        "UnavailableError",
    ),
    "status": ("CacheStatus", "HeldStatus", "TableStatus"),
    "values": ("SecretVersion",),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'keyturn' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"keyturn.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
