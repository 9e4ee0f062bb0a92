"""What `keyturn status` prints for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keyturn.cache.limits import DEFAULTS
from keyturn.cli.output import console, moment, short_key, table_of
from keyturn.cli.status import fleet as fleets
from keyturn.cli.status.fleet import Fleet
from keyturn.cli.status.gate import Gate, reporting
from keyturn.cli.status.overview import Overview
from keyturn.cli.status.places import Visit
from keyturn.convergence.counting import Convergence


def show(visits: Sequence[Visit], gate: Gate | None, *, is_here: bool) -> None:
    """Print the tables of the only place, or a table of the places."""
    if is_here:
        for visit in visits:
            if visit.look is not None:
                show_overview(visit.look.overview)
                show_fleet(visit.look.fleet)
    else:
        columns = ("account", "Region", "markers", "environments", "")
        console().print(table_of("", columns, _place_rows(visits)))
    if gate is not None and reporting(visits) < gate.expected:
        console().print(f"\n{_too_few(visits, gate)}")


def waiting(visits: Sequence[Visit], gate: Gate | None) -> list[str]:
    """Return in words what keeps the gate shut."""
    found = [f"{visit.place} {reason}".strip() for visit in visits for reason in _reasons(visit)]
    few = gate is not None and reporting(visits) < gate.expected
    return [*found, *([_too_few(visits, gate)] if gate is not None and few else [])]


def _too_few(visits: Sequence[Visit], gate: Gate) -> str:
    return f"{reporting(visits)} of {gate.expected} expected environments report"


def _reasons(visit: Visit) -> Iterator[str]:
    if visit.error is not None:
        yield f"the look failed: {visit.error}"
    if visit.look is None:
        return
    overview = visit.look.overview
    if not overview.has_lease:
        yield "no marker counts"
    if overview.without_lease:
        yield f"no marker counts for readers of {', '.join(overview.without_lease)}"
    yield from (f"{short_key(one.key)} {one.verdict.value}" for one in overview.wrong)
    yield from (f"{short_key(one.key)} {fleets.headline(one)}" for one in _behind(visit.look.fleet))


def _behind(fleet: Fleet | None) -> list[Convergence]:
    secrets = fleet.secrets if fleet is not None else ()
    return [one for one in secrets if one.current is not None and not one.is_complete]


def _place_rows(visits: Sequence[Visit]) -> Iterator[tuple[str, str, str, str, str]]:
    for visit in visits:
        first, *more = list(_reasons(visit)) or [""]
        fleet = visit.look.fleet if visit.look is not None else None
        environments = str(fleet.environments) if fleet is not None else "-"
        yield *visit.place, _verdict(visit), environments, first
        yield from (("", "", "", "", reason) for reason in more)


def _verdict(visit: Visit) -> str:
    if visit.error is not None:
        return "unknown"
    if visit.look is None:
        return "not deployed"
    return "ok" if visit.look.overview.is_well else "wrong"


def show_overview(overview: Overview) -> None:
    """Print the overview as tables."""
    to = console()
    to.print(head_line(overview))
    if overview.copies:
        to.print(copies_line(overview))
    if overview.secrets:
        to.print(table_of("", ("secret", "stage", "marker", "Secrets Manager", ""), _rows(overview)))
    if overview.events:
        rows = [
            (moment(one.changed_at_s), short_key(one.key), one.step or "", one.reason)
            for one in overview.events
        ]
        to.print()
        to.print(table_of("Last changes", ("when", "secret", "step", "reason"), rows))
    total, wrong = len(overview.secrets), len(overview.wrong)
    to.print(f"\n{wrong or 'none'} of {total} need attention" if total else "\nno markers")


def show_fleet(fleet: Fleet | None) -> None:
    """Print the versions that the environments are on, if the command reads a convergence table."""
    if fleet is None:
        return
    to = console()
    to.print()
    if fleet.secrets:
        columns = ("secret", f"{fleet.environments} environments", "which", "last report")
        to.print(table_of("", columns, fleets.rows(fleet)))
    for note in fleets.notes(fleet):
        to.print(note)


def head_line(overview: Overview) -> str:
    """Return the head in words."""
    head, age_s = overview.head, overview.swept_age_s
    if head is None:
        return "No head: nothing was ever written or swept here. Run keyturn sweep, or keyturn doctor."
    if age_s is None:
        return f"Head: counter {head.counter}; never swept, so no marker counts. keyturn doctor says why."
    lease = f"300 to 600 s is normal; up to {DEFAULTS.lease_s:.0f} s they count"
    told = "" if overview.has_lease else ": no marker counts. keyturn doctor says why"
    return f"Head: counter {head.counter}, markers complete up to {age_s:.0f} s ago ({lease}){told}"


def copies_line(overview: Overview) -> str:
    """Return the copies of the head in words; there is one at least."""
    number = len(overview.copies) + 1
    if overview.without_lease:
        keys = ", ".join(overview.without_lease)
        return (
            f"Copies: {number} heads, but {keys} not swept: no marker counts there. keyturn doctor says why."
        )
    ages_s = [one.swept_age_s or 0.0 for one in overview.copies if one is not None]
    return f"Copies: {number} heads, the others complete up to {max(ages_s):.0f} s ago or less"


def _rows(overview: Overview) -> Iterator[tuple[str, str, str, str, str]]:
    for one in overview.secrets:
        name, verdict = short_key(one.key), one.verdict.value + (f": {one.why}" if one.why else "")
        for label, marked, true in one.stages or [("", None, None)]:
            truth = (true or "-") if one.described is not None else "?"
            yield name, label, marked or "-", truth, verdict
            name = verdict = ""
