"""The names of aws-secretsmanager-caching with keyturn behind them: change the import, keep the code.

The import, and a cache as upstream's users make it:

    from keyturn.compat import InjectSecretString, SecretCache, SecretCacheConfig

    cache = SecretCache(SecretCacheConfig(), client, marker_table="keyturn-markers")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_secretsmanager_caching import SecretCacheConfig

from keyturn.compat.cache import SecretCache

if TYPE_CHECKING:
    # Upstream has no types, so a strict type checker would take every decorated function for untyped.
    from collections.abc import Callable
    from typing import TypeVar

    import aws_secretsmanager_caching as upstream

    _T = TypeVar("_T")

    class InjectSecretString:
        """Decorates a function whose first argument, or the one after `self`, is the text of the secret."""

        def __init__(self, secret_id: str, cache: upstream.SecretCache) -> None: ...

        def __call__(self, func: Callable[..., _T]) -> Callable[..., _T]: ...

    class InjectKeywordedSecretString:
        """Decorates a function with arguments that are fields of the secret: argument name = field name."""

        def __init__(self, secret_id: str, cache: upstream.SecretCache, **kwargs: str) -> None: ...

        def __call__(self, func: Callable[..., _T]) -> Callable[..., _T]: ...

else:
    from aws_secretsmanager_caching import InjectKeywordedSecretString, InjectSecretString

__all__ = ["InjectKeywordedSecretString", "InjectSecretString", "SecretCache", "SecretCacheConfig"]
