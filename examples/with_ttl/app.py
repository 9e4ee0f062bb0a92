"""Read a parameter again after five minutes, where there is no marker table."""

from __future__ import annotations

import json
import logging
import os

from keyturn import Limits, SecretCache, SecretError

API_KEY = "/my-frontend-app/production/api-key"

log = logging.getLogger(__name__)
# While Parameter Store does not answer, the known value is served even after the end of its TTL.
secrets = SecretCache(limits=Limits(uncovered_ttl_s=float(os.environ.get("KEYTURN_UNCOVERED_TTL_S", "300"))))


def handler(_event: object, _context: object) -> dict[str, object]:
    """Read the parameter: at most one call in five minutes and environment, for any number of requests."""
    try:
        parameter = secrets.get_parameter(API_KEY)
    except SecretError:
        log.exception("no API key")
        return answer(500, error="Failed to load API key")
    return answer(200, message="Configuration loaded", version=parameter.version)


def answer(status: int, **body: object) -> dict[str, object]:
    """Return the form that API Gateway expects."""
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
