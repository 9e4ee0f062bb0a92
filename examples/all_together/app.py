"""Read a table's name from the environment, an API key from Parameter Store, and a secret."""

from __future__ import annotations

import json
import logging
import os

from keyturn import SecretCache, SecretError

API_KEY = "/my-frontend-app/production/api-key"
SECRET_ID = "/my-frontend-app/production/stripe-key"

log = logging.getLogger(__name__)
table_name = os.environ.get("TABLE_NAME")
secrets = SecretCache()


def handler(_event: object, _context: object) -> dict[str, object]:
    """Read the parameter and the secret from one cache, which checks the marker table once for both."""
    try:
        api_key, stripe = secrets.get_parameter(API_KEY), secrets.get(SECRET_ID)
    except SecretError:
        log.exception("a value is missing")
        return answer(500, error="Missing configuration")
    if not table_name:
        log.error("TABLE_NAME is not set")
        return answer(500, error="Missing configuration")
    # Use table_name for DynamoDB, api_key.value and stripe.json() for calls of third parties.
    versions = {"api_key": api_key.version, "stripe": stripe.version_id}
    return answer(200, message="All configuration loaded", table=table_name, versions=versions)


def answer(status: int, **body: object) -> dict[str, object]:
    """Return the form that API Gateway expects."""
    headers = {"Content-Type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
