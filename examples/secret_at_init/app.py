"""Read a secret when the environment starts, and again as soon as keyturn learns of its rotation."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

from keyturn import SecretCache, SecretError

SECRET_ID = "/my-frontend-app/production/stripe-key"

log = logging.getLogger(__name__)
secrets = SecretCache()
with suppress(SecretError):
    # The first request then does not wait. If this read fails, the request says why.
    secrets.get(SECRET_ID)


def handler(_event: object, _context: object) -> dict[str, object]:
    """Ask the cache in each invocation, since a value that a module keeps itself is never rotated."""
    try:
        secret = secrets.get(SECRET_ID)
    except SecretError:
        log.exception("no Stripe configuration")
        return answer(500, error="Failed to load Stripe configuration")
    # Use secret.json(), with its apiKey and webhookSecret, here.
    return answer(200, message="Stripe configuration loaded", version=secret.version_id)


def answer(status: int, **body: object) -> dict[str, object]:
    """Return the form that API Gateway expects."""
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
