"""Read a parameter when the environment starts, and again as soon as keyturn learns of its change."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

from keyturn import SecretCache, SecretError

API_KEY = "/my-frontend-app/production/api-key"

log = logging.getLogger(__name__)
secrets = SecretCache()
with suppress(SecretError):
    # The first request then does not wait. If this read fails, the request says why.
    secrets.get_parameter(API_KEY)


def handler(_event: object, _context: object) -> dict[str, object]:
    """Ask the cache in each invocation, since a value that a module keeps itself never changes."""
    try:
        parameter = secrets.get_parameter(API_KEY)
    except SecretError:
        log.exception("no API key")
        return answer(500, error="Failed to load API key")
    # Use parameter.value here. No part of it may go into an answer, not even its beginning.
    return answer(200, message="Configuration loaded", version=parameter.version)


def answer(status: int, **body: object) -> dict[str, object]:
    """Return the form that API Gateway expects."""
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
