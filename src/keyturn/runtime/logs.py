"""The fields of keyturn's log records, by which a query finds them."""

from __future__ import annotations

from typing import Literal, TypeAlias

LogEvent: TypeAlias = Literal[
    "callback_failed",
    "candidate_unreadable",
    "check_failed",
    "evicting",
    "metrics_failed",
    "not_announced",
    "not_retired",
    "not_revoked",
    "refresh_failed",
    "report_failed",
    "restart_failed",
    "retired",
    "settings_unfit",
    "reports_answer",
    "reports_trouble",
    "stale_served",
    "table_answers",
    "table_trouble",
]
"""What a record says, in one word that does not change; docs/metrics.md says what each means."""


def about(event: LogEvent, *, secret: str = "", error: Exception | None = None) -> dict[str, str]:
    """Return the `extra` of a record: the event and, if given, the secret's name and the kind of error."""
    fields = {
        "keyturn_event": event,
        "keyturn_secret": secret,
        "keyturn_error": type(error).__name__ if error is not None else "",
    }
    return {name: value for name, value in fields.items() if value}
