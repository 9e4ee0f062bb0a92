"""A Lambda function that logs in to its database with a secret that rotates."""

from __future__ import annotations

import os

from keyturn import SecretCache, SecretVersion

cache = SecretCache(marker_table=os.environ.get("KEYTURN_MARKER_TABLE"))


def connect(version: SecretVersion) -> str:
    """Log in with the database's driver; the user it is known as."""
    raise NotImplementedError(version.secret_id)


def is_refused(error: Exception) -> bool:
    """Whether the database refused the password."""
    return isinstance(error, PermissionError)


def handler(_event: object, _context: object) -> dict[str, str]:
    """Answer with who is logged in."""
    return {"user": cache.login("prod/db", lambda version: connect(version), is_refused=is_refused)}
