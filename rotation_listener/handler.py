"""The entry point in Lambda: the listener with real clients, clocks and variables, and its log."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from keyturn.aws.catalog import PARAMETERS_ATTEMPTS, ParameterListing, SecretsManagerCatalog
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, make_client
from keyturn.errors import KeyturnError
from keyturn.markers.table import MarkerTable
from keyturn.model.names import Arn, name_in
from keyturn.runtime.host import THIS_HOST
from keyturn.runtime.parallel import side_by_side
from rotation_listener.listener import STACK_VARIABLE, Listener, Settings, Summary

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient, ListingClient
    from keyturn.markers.calls import DynamoDBClient
    from keyturn.model.protocols import Listing

AGENT: Final = "rotation-listener"
"""What the listener's clients add to their user agent; those of readers add another word."""

TEXT_LENGTH_MAX: Final = 4096
"""The length of a text in the log. A line of more than 256 KB may be split on its way to CloudWatch Logs, and
the rest would be a line of an event's own making. No id is as long."""

TIME_KEPT_MS: Final = 20_000
"""A sweep stops so many milliseconds before Lambda would end it.

They are enough for the retries of one secret, the settle time, and one write.
"""


def handler(event: object, context: object) -> Summary:
    """Handle one event. An error is logged and raised, so that Lambda delivers the event again."""
    started_s = time.monotonic()
    own = Arn.parse(str(getattr(context, "invoked_function_arn", "")))
    about = {**_about(event), **_where(own, context)}
    try:
        summary = _listener().handle(event, _time_is_up(context), own)
    except KeyturnError as error:
        _log(
            logging.ERROR, {**about, "outcome": "failed", "error": type(error).__name__, "detail": str(error)}
        )
        raise
    _log(logging.INFO, {**about, **summary, "duration_s": round(time.monotonic() - started_s, 3)})
    return summary


@cache
def _listener() -> Listener:
    """Make the listener of this execution environment, at its first event."""
    settings = Settings.of(os.environ)
    table = MarkerTable(
        cast("DynamoDBClient", _client("dynamodb", validates=False)),
        settings.marker_table,
        THIS_HOST,
        copies=settings.head_copies,
        pace_s=settings.pace_s,
    )
    catalog = SecretsManagerCatalog(
        cast("CatalogClient", _client("secretsmanager")),
        name_prefixes=settings.name_prefixes,
        tag=settings.secret_tag,
    )
    parameters = _parameters(settings.parameter_prefixes)
    return Listener(settings, catalog, table, THIS_HOST, parameters, parallel=side_by_side)


def _parameters(prefixes: tuple[str, ...]) -> Listing | None:
    if not prefixes:
        return None
    client = make_client("ssm", SECRETS_TIMEOUTS_S, attempts=PARAMETERS_ATTEMPTS, agent=AGENT)
    return ParameterListing(cast("ListingClient", client), prefixes)


def _client(service: str, *, validates: bool = True) -> object:
    return make_client(service, SECRETS_TIMEOUTS_S, agent=AGENT, validates=validates)


def _time_is_up(context: object) -> Callable[[], bool]:
    """Return a function that tells whether Lambda is about to end this invocation; outside Lambda never."""
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    return lambda: callable(remaining_ms) and remaining_ms() < TIME_KEPT_MS


def _about(event: object) -> dict[str, object]:
    """Return the fields that identify an event. The person that caused the event is not among them."""
    if not isinstance(event, Mapping):
        return {}
    named = {"event_id": event.get("id"), "detail_type": event.get("detail-type"), "time": event.get("time")}
    return {name: value for name, value in named.items() if isinstance(value, str)}


def _where(own: Arn | None, context: object) -> dict[str, object]:
    """Return the fields that tell this invocation from those of other accounts, Regions and stacks."""
    fields = {
        "request_id": getattr(context, "aws_request_id", None),
        "account": own.account if own is not None else None,
        "region": own.region if own is not None else None,
        "stack": os.environ.get(STACK_VARIABLE),
    }
    return {name: value for name, value in fields.items() if value}


def _log(level: int, fields: Mapping[str, object]) -> None:
    named = {"level": logging.getLevelName(level), **_as_in_the_library(fields), **fields}
    cut = {name: text[:TEXT_LENGTH_MAX] if isinstance(text, str) else text for name, text in named.items()}
    _logger().log(level, json.dumps(cut))


def _as_in_the_library(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that the library's log records have, too, so that one query finds both."""
    key = fields.get("key")
    shared = {
        "keyturn_event": fields.get("outcome"),
        "keyturn_secret": name_in(key) if isinstance(key, str) else None,
        "keyturn_error": fields.get("error"),
    }
    return {name: value for name, value in shared.items() if value is not None}


@cache
def _logger() -> logging.Logger:
    """Make the logger that writes one JSON object a line. Lambda's own log handler would add a prefix."""
    to_stdout = logging.StreamHandler(sys.stdout)
    to_stdout.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("rotation_listener")
    logger.addHandler(to_stdout)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
