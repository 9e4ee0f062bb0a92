"""Settings from the environment, and pydantic settings whose fields follow secrets.

`environment` has `KeyturnSettings`, `live` has `LiveSettings` (public as `keyturn.live`). This folder
imports pydantic; no other folder of the core does.
"""

from keyturn.settings.environment import KeyturnSettings

__all__ = ["KeyturnSettings"]
