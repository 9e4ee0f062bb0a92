"""keyturn: a rotation-aware secret cache for warm Python environments.

Every public name is loaded when it is first used, so that `import keyturn` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from keyturn.aio.client import AsyncSecretCache as AsyncSecretCache
    from keyturn.announcing import announce as announce
    from keyturn.assembly import Peers as Peers
    from keyturn.cache.limits import (
        Limits as Limits,
    )
    from keyturn.cache.limits import (
        Reporting as Reporting,
    )
    from keyturn.cache.status import AllowanceStatus as AllowanceStatus
    from keyturn.cache.status import CacheStatus as CacheStatus
    from keyturn.cache.status import HeldStatus as HeldStatus
    from keyturn.cache.status import ReportStatus as ReportStatus
    from keyturn.cache.status import RestStatus as RestStatus
    from keyturn.cache.status import TableStatus as TableStatus
    from keyturn.client import SecretCache as SecretCache
    from keyturn.errors import (
        AccessDeniedError as AccessDeniedError,
    )
    from keyturn.errors import (
        ClientSetupError as ClientSetupError,
    )
    from keyturn.errors import (
        ConfigurationError as ConfigurationError,
    )
    from keyturn.errors import (
        ConvergenceTableError as ConvergenceTableError,
    )
    from keyturn.errors import (
        DecryptionError as DecryptionError,
    )
    from keyturn.errors import (
        InvalidParameterNameError as InvalidParameterNameError,
    )
    from keyturn.errors import (
        InvalidSecretIdError as InvalidSecretIdError,
    )
    from keyturn.errors import (
        KeyMismatchError as KeyMismatchError,
    )
    from keyturn.errors import (
        KeyturnError as KeyturnError,
    )
    from keyturn.errors import (
        LoginRefusedError as LoginRefusedError,
    )
    from keyturn.errors import (
        MarkerConflictError as MarkerConflictError,
    )
    from keyturn.errors import (
        MarkerTableError as MarkerTableError,
    )
    from keyturn.errors import (
        ParameterAccessDeniedError as ParameterAccessDeniedError,
    )
    from keyturn.errors import (
        ParameterClientSetupError as ParameterClientSetupError,
    )
    from keyturn.errors import (
        ParameterDecryptionError as ParameterDecryptionError,
    )
    from keyturn.errors import (
        ParameterError as ParameterError,
    )
    from keyturn.errors import (
        ParameterFieldError as ParameterFieldError,
    )
    from keyturn.errors import (
        ParameterFormatError as ParameterFormatError,
    )
    from keyturn.errors import (
        ParameterNotFoundError as ParameterNotFoundError,
    )
    from keyturn.errors import (
        ParameterUnavailableError as ParameterUnavailableError,
    )
    from keyturn.errors import (
        ParameterVersionNotFoundError as ParameterVersionNotFoundError,
    )
    from keyturn.errors import (
        SecretDeletedError as SecretDeletedError,
    )
    from keyturn.errors import (
        SecretError as SecretError,
    )
    from keyturn.errors import (
        SecretFieldError as SecretFieldError,
    )
    from keyturn.errors import (
        SecretFormatError as SecretFormatError,
    )
    from keyturn.errors import (
        SecretKindError as SecretKindError,
    )
    from keyturn.errors import (
        SecretNotFoundError as SecretNotFoundError,
    )
    from keyturn.errors import (
        StageNotFoundError as StageNotFoundError,
    )
    from keyturn.errors import (
        UnavailableError as UnavailableError,
    )
    from keyturn.login.refusals import is_refused as is_refused
    from keyturn.metrics.hook import Metric as Metric
    from keyturn.metrics.hook import Metrics as Metrics
    from keyturn.model.parameter import Parameter as Parameter
    from keyturn.model.versions import SecretVersion as SecretVersion
    from keyturn.settings.environment import KeyturnSettings as KeyturnSettings

_HOMES = {
    "aio.client": ("AsyncSecretCache",),
    "announcing": ("announce",),
    "assembly": ("Peers",),
    "cache.limits": ("Limits", "Reporting"),
    "login.refusals": ("is_refused",),
    "client": ("SecretCache",),
    "errors": (
        "AccessDeniedError",
        "ClientSetupError",
        "ConfigurationError",
        "ConvergenceTableError",
        "DecryptionError",
        "InvalidParameterNameError",
        "InvalidSecretIdError",
        "KeyMismatchError",
        "KeyturnError",
        "LoginRefusedError",
        "MarkerConflictError",
        "MarkerTableError",
        "ParameterAccessDeniedError",
        "ParameterClientSetupError",
        "ParameterDecryptionError",
        "ParameterError",
        "ParameterFieldError",
        "ParameterFormatError",
        "ParameterNotFoundError",
        "ParameterUnavailableError",
        "ParameterVersionNotFoundError",
        "SecretDeletedError",
        "SecretError",
        "SecretFieldError",
        "SecretFormatError",
        "SecretKindError",
        "SecretNotFoundError",
        "StageNotFoundError",
        "UnavailableError",
    ),
    "model.parameter": ("Parameter",),
    "settings.environment": ("KeyturnSettings",),
    "cache.status": (
        "AllowanceStatus",
        "CacheStatus",
        "HeldStatus",
        "ReportStatus",
        "RestStatus",
        "TableStatus",
    ),
    "metrics.hook": ("Metric", "Metrics"),
    "model.versions": ("SecretVersion",),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AccessDeniedError",
    "AllowanceStatus",
    "AsyncSecretCache",
    "CacheStatus",
    "ClientSetupError",
    "ConfigurationError",
    "ConvergenceTableError",
    "DecryptionError",
    "HeldStatus",
    "InvalidParameterNameError",
    "InvalidSecretIdError",
    "KeyMismatchError",
    "KeyturnError",
    "KeyturnSettings",
    "Limits",
    "LoginRefusedError",
    "MarkerConflictError",
    "MarkerTableError",
    "Metric",
    "Metrics",
    "Parameter",
    "ParameterAccessDeniedError",
    "ParameterClientSetupError",
    "ParameterDecryptionError",
    "ParameterError",
    "ParameterFieldError",
    "ParameterFormatError",
    "ParameterNotFoundError",
    "ParameterUnavailableError",
    "ParameterVersionNotFoundError",
    "Peers",
    "ReportStatus",
    "Reporting",
    "RestStatus",
    "SecretCache",
    "SecretDeletedError",
    "SecretError",
    "SecretFieldError",
    "SecretFormatError",
    "SecretKindError",
    "SecretNotFoundError",
    "SecretVersion",
    "StageNotFoundError",
    "TableStatus",
    "UnavailableError",
    "announce",
    "is_refused",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'keyturn' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"keyturn.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
