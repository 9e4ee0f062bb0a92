"""keyturn: a rotation-aware secret cache for warm Python environments.

Every public name is loaded when it is first used, so that `import keyturn` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from keyturn.aio.client import AsyncSecretCache
    from keyturn.announcing import announce
    from keyturn.assembly import Peers
    from keyturn.cache.limits import Limits, Reporting
    from keyturn.cache.status import (
        AllowanceStatus,
        CacheStatus,
        HeldStatus,
        ReportStatus,
        RestStatus,
        TableStatus,
    )
    from keyturn.client import SecretCache
    from keyturn.errors import (
        AccessDeniedError,
        ClientSetupError,
        ConfigurationError,
        ConvergenceTableError,
        DecryptionError,
        InvalidParameterNameError,
        InvalidSecretIdError,
        KeyMismatchError,
        KeyturnError,
        LoginRefusedError,
        MarkerConflictError,
        MarkerTableError,
        ParameterAccessDeniedError,
        ParameterClientSetupError,
        ParameterDecryptionError,
        ParameterError,
        ParameterFieldError,
        ParameterFormatError,
        ParameterNotFoundError,
        ParameterUnavailableError,
        ParameterVersionNotFoundError,
        SecretDeletedError,
        SecretError,
        SecretFieldError,
        SecretFormatError,
        SecretKindError,
        SecretNotFoundError,
        StageNotFoundError,
        UnavailableError,
    )
    from keyturn.login.refusals import is_refused
    from keyturn.metrics.hook import Metric, Metrics
    from keyturn.model.parameter import Parameter
    from keyturn.model.versions import SecretVersion
    from keyturn.settings.environment import KeyturnSettings

_HOMES = {
    "aio.client": ("AsyncSecretCache",),
    "announcing": ("announce",),
    "assembly": ("Peers",),
    "cache.limits": ("Limits", "Reporting"),
    "cache.status": (
        "AllowanceStatus",
        "CacheStatus",
        "HeldStatus",
        "ReportStatus",
        "RestStatus",
        "TableStatus",
    ),
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
    "login.refusals": ("is_refused",),
    "metrics.hook": ("Metric", "Metrics"),
    "model.parameter": ("Parameter",),
    "model.versions": ("SecretVersion",),
    "settings.environment": ("KeyturnSettings",),
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
