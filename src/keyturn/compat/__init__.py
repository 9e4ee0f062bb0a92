"""The names of aws-secretsmanager-caching with keyturn behind them: change the import, keep the code.

The import, and a cache as upstream's users make it:

    from keyturn.compat import InjectSecretString, SecretCache, SecretCacheConfig

    cache = SecretCache(SecretCacheConfig(), client, marker_table="keyturn-markers")
"""

from aws_secretsmanager_caching import InjectKeywordedSecretString, InjectSecretString, SecretCacheConfig

from keyturn.compat.cache import SecretCache

__all__ = ["InjectKeywordedSecretString", "InjectSecretString", "SecretCache", "SecretCacheConfig"]
