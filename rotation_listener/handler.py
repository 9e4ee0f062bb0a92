"""The entry point in Lambda: real clients, clock, sleep, random and environment, and the log."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from keyturn.aws.catalog import ParameterListing, SecretsManagerCatalog
from keyturn.errors import KeyturnError
from keyturn.markers.recorder import Recorder
from keyturn.markers.table import MarkerTable
from keyturn.model.names import name_in
from rotation_listener.listener import Listener, Settings, Summary

if TYPE_CHECKING:
    from keyturn.aws.catalog import CatalogClient, ListingClient
    from keyturn.markers.table import DynamoDBClient
    from keyturn.model.protocols import Listing

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 5.0
LISTING_ATTEMPTS: Final = 10
"""Tries of one DescribeParameters, of which an account may make three a second."""
TIME_KEPT_MS: Final = 20_000
"""A sweep stops this long before Lambda would kill it: one secret's retries, settling, and one write."""


def handler(event: object, context: object) -> Summary:
    """Handle one event. An error is logged and raised, so that Lambda delivers the event again."""
    started_s = time.monotonic()
    about = _about(event)
    try:
        summary = _listener().handle(event, _time_is_up(context))
    except KeyturnError as error:
        _log(
            logging.ERROR, {**about, "outcome": "failed", "error": type(error).__name__, "detail": str(error)}
        )
        raise
    _log(logging.INFO, {**about, **summary, "duration_s": round(time.monotonic() - started_s, 3)})
    return summary


@cache
def _listener() -> Listener:
    """The listener of this execution environment, made at its first event."""
    settings = Settings.of(os.environ)
    table = MarkerTable(
        cast("DynamoDBClient", _client("dynamodb")),
        settings.marker_table,
        new_epoch=lambda: os.urandom(8).hex(),
        sleep=time.sleep,
        random=random.random,
    )
    catalog = SecretsManagerCatalog(
        cast("CatalogClient", _client("secretsmanager")),
        name_prefixes=settings.name_prefixes,
        tag=settings.secret_tag,
    )
    recorder = Recorder(
        catalog, table, settle_s=settings.settle_s, sleep=time.sleep, random=random.random, wall=time.time
    )
    return Listener(settings, recorder, table, _parameters(settings.parameter_prefixes))


def _parameters(prefixes: tuple[str, ...]) -> Listing | None:
    if not prefixes:
        return None
    return ParameterListing(cast("ListingClient", _client("ssm", attempts=LISTING_ATTEMPTS)), prefixes)


def _client(service: str, *, attempts: int = 3) -> object:
    """A client from botocore alone: importing boto3 as well would cost a cold start 40 to 50 ms."""
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    client: object = get_session().create_client(service, config=config)
    return client


def _time_is_up(context: object) -> Callable[[], bool]:
    """Whether Lambda is about to end this invocation; never outside Lambda."""
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    return lambda: callable(remaining_ms) and remaining_ms() < TIME_KEPT_MS


def _about(event: object) -> dict[str, object]:
    """What identifies an event, without who caused it."""
    if not isinstance(event, Mapping):
        return {}
    named = {"event_id": event.get("id"), "detail_type": event.get("detail-type"), "time": event.get("time")}
    return {name: value for name, value in named.items() if isinstance(value, str)}


def _log(level: int, fields: Mapping[str, object]) -> None:
    named = {"level": logging.getLevelName(level), **_as_in_the_library(fields), **fields}
    _logger().log(level, json.dumps(named))


def _as_in_the_library(fields: Mapping[str, object]) -> dict[str, object]:
    """What the records of `keyturn.metrics` have too, by the same names: one query finds both."""
    key = fields.get("key")
    shared = {
        "keyturn_event": fields.get("outcome"),
        "keyturn_secret": name_in(key) if isinstance(key, str) else None,
        "keyturn_error": fields.get("error"),
    }
    return {name: value for name, value in shared.items() if value is not None}


@cache
def _logger() -> logging.Logger:
    """One JSON object a line. Lambda's own log handler would put a prefix before it."""
    to_stdout = logging.StreamHandler(sys.stdout)
    to_stdout.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("rotation_listener")
    logger.addHandler(to_stdout)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger
