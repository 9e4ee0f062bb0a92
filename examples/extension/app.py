"""Read a secret through the AWS Parameters and Secrets Lambda Extension, without loading an AWS SDK."""

from __future__ import annotations

import json
import logging
import os

from keyturn import Limits, Peers, SecretCache, SecretError
from keyturn.integrations.awslambda import extension_source

SECRET_ID = "/my-frontend-app/production/stripe-key"

log = logging.getLogger(__name__)
# The extension may not answer before the first invocation, so nothing is read here.
secrets = SecretCache(
    limits=Limits(uncovered_ttl_s=float(os.environ.get("KEYTURN_UNCOVERED_TTL_S", "300"))),
    peers=Peers(source=extension_source()),
)


def handler(_event: object, _context: object) -> dict[str, object]:
    """Read the secret.

    SECRETS_MANAGER_TTL=0 turns off the extension's cache, which does not follow rotations.
    """
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
