"""What drivers raised on real servers is judged as the table of verdicts says.

`python -m tests.verdicts` records the errors. Here each is made anew, of the driver's own class where the
driver is installed, and of a look-alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from keyturn.login.refusals import REFUSALS, is_refused
from tests.verdicts.postgresql import catalogues, translated
from tests.verdicts.recording import Json, rebuilt
from tests.verdicts.table import PAGE, page

RECORDED = Path(__file__).with_name("recorded")
TRANSLATIONS = RECORDED / "translations.json"


def recorded() -> Iterator[tuple[str, dict[str, Json], bool]]:
    """Yield the name, the error and the verdict of each record."""
    for file in sorted(RECORDED.glob("*.json")):
        if file == TRANSLATIONS:
            continue
        for number, row in enumerate(json.loads(file.read_text("utf-8"))):
            title = f"{row['server']}, {row['driver']}, {row['situation']}, {file.stem} {number}"
            yield title, row["error"], row["refused"]


CASES = list(recorded())


def test_there_are_records_of_many_servers() -> None:
    """Every server has its record, and the pairs of error and verdict are many."""
    assert len(list(RECORDED.glob("*.json"))) >= 12
    assert len(CASES) >= 400
    assert 100 <= sum(refused for _, _, refused in CASES) <= len(CASES) - 100


def by_driver() -> Mapping[str, list[tuple[str, dict[str, Json], bool]]]:
    """Return the records of each driver on each server."""
    found: dict[str, list[tuple[str, dict[str, Json], bool]]] = {}
    for case in CASES:
        server, driver, _ = case[0].split(", ", 2)
        found.setdefault(f"{server}, {driver}", []).append(case)
    return found


@pytest.mark.parametrize("look_alike", [False, True], ids=["installed", "look-alike"])
@pytest.mark.parametrize("cases", [pytest.param(cases, id=driver) for driver, cases in by_driver().items()])
def test_a_recorded_error_has_its_verdict(
    *, cases: Sequence[tuple[str, dict[str, Json], bool]], look_alike: bool
) -> None:
    """A wrong password is known whatever the server, the driver and the language; other trouble is none."""
    misjudged = [
        title
        for title, error, refused in cases
        if refused != is_refused(rebuilt(error, look_alike=look_alike))
    ]
    assert [] == misjudged


def test_no_row_can_be_taken_out() -> None:
    """Each row of the table is the only one that knows some error of a real server or of a document."""
    errors = [rebuilt(error) for _, error, refused in CASES if refused]
    idle = []
    for row in REFUSALS:
        others = [one.fits for one in REFUSALS if one is not row]
        if not any(_knows([row.fits], error) and not _knows(others, error) for error in errors):
            idle.append(row.server)
    assert [] == idle


def _knows(judges: Sequence[Callable[[BaseException], bool]], error: BaseException) -> bool:
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    inside = (error, error.__cause__, *error.args, *members)
    return any(fits(one) for one in inside if isinstance(one, BaseException) for fits in judges)


def test_records_hold_no_password_and_no_folder() -> None:
    """A record names neither what was logged in with nor where it was made."""
    for file in RECORDED.glob("*.json"):
        text = file.read_text("utf-8")
        folders = [f"/{name}/" for name in ("home", "root", "work")]
        for word in ("right-password", "wrong-password", "admin-password", "keyturn-", *folders):
            assert word not in text, (file.name, word)


def test_the_page_is_made_of_the_records() -> None:
    """docs/verdicts.md is what the command makes of the records."""
    assert PAGE.read_text("utf-8") == page(RECORDED)


@pytest.mark.parametrize(("language", "messages"), list(json.loads(TRANSLATIONS.read_text("utf-8")).items()))
def test_every_language_of_postgresql_is_known(language: str, messages: Mapping[str, bool]) -> None:
    """In each language a wrong password is a refusal; a rule of pg_hba.conf or a missing database is none."""
    assert messages
    assert [] == misjudged(language, messages)


def test_the_installed_servers_languages_are_known() -> None:
    """So are the messages of the server that is installed here: a release may word them anew."""
    files = catalogues()
    if not files:
        pytest.skip("no PostgreSQL with translations is installed: only the recorded ones were judged")
    assert [] == [text for file in files for text in misjudged(file.parts[4], translated(file))]


def misjudged(language: str, messages: Mapping[str, bool]) -> list[str]:
    """Return the messages whose errors get the wrong verdict."""
    psycopg = pytest.importorskip("psycopg")
    return [
        f"{language}: {text}"
        for text, refused in messages.items()
        for severity in ("FATAL", "ВАЖНО", "致命错误")
        if refused
        != is_refused(
            psycopg.OperationalError(
                f'connection to server at "h", port 5432 failed: {severity}:  {text.replace("%s", "app")}\n'
            )
        )
    ]
