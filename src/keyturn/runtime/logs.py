"""keyturn's log, and the fields of its records, by which a query finds them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Literal, TypeAlias

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


def about(event: LogEvent, *, secret: str = "", error: BaseException | None = None) -> dict[str, str]:
    """Return the `extra` of a record: the event and, if given, the secret's name and the kind of error."""
    fields = {
        "keyturn_event": event,
        "keyturn_secret": secret,
        "keyturn_error": type(error).__name__ if error is not None else "",
    }
    return {name: value for name, value in fields.items() if value}


class Log:
    """A logger whose records cost no call its outcome.

    A handler or a filter is the application's code, and may raise. That loses the record and nothing else:
    the copy is served, the check goes on, and the other caches are told of a snapshot.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def info(self, text: str, *args: object, extra: Mapping[str, object]) -> None:
        """Log what has changed for the better."""
        self._write(logging.INFO, text, args, extra)

    def warning(self, text: str, *args: object, extra: Mapping[str, object]) -> None:
        """Log what somebody should look at."""
        self._write(logging.WARNING, text, args, extra)

    def error(self, text: str, *args: object, extra: Mapping[str, object]) -> None:
        """Log what somebody has to mend."""
        self._write(logging.ERROR, text, args, extra)

    def exception(self, text: str, *args: object, extra: Mapping[str, object]) -> None:
        """Log what somebody has to mend, with the error that is being handled."""
        self._write(logging.ERROR, text, args, extra, shows_error=True)

    def _write(
        self,
        level: int,
        text: str,
        args: tuple[object, ...],
        extra: Mapping[str, object],
        *,
        shows_error: bool = False,
    ) -> None:
        with suppress(Exception):
            # The record names the caller of the method above.
            self._logger.log(level, text, *args, extra=extra, exc_info=shows_error, stacklevel=3)


log: Final = Log("keyturn")
"""The log of the whole library."""
