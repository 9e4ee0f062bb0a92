"""The answer of `keyturn status --json`."""

from __future__ import annotations

from collections.abc import Sequence

from keyturn.cli.root import error_document, one_line
from keyturn.cli.status import fleet, overview
from keyturn.cli.status.gate import Gate, reporting
from keyturn.cli.status.looking import Look
from keyturn.cli.status.places import Visit


def answer(visits: Sequence[Visit], gate: Gate | None, *, is_here: bool) -> dict[str, object]:
    """Return the one document: of the only place, or with a list of the places."""
    about_gate = {"gate": _gate(visits, gate)} if gate is not None else {}
    if is_here:
        return {**(_look(visits[0].look) if visits[0].look is not None else {}), **about_gate}
    is_well = all(visit.error is None and (visit.look is None or _is_well(visit.look)) for visit in visits)
    return {"well": is_well, **about_gate, "places": [_place(visit) for visit in visits]}


def _is_well(look: Look) -> bool:
    return look.overview.is_well


def _gate(visits: Sequence[Visit], gate: Gate) -> dict[str, object]:
    return {"open": gate.is_open(visits), "expected": gate.expected, "environments": reporting(visits)}


def _place(visit: Visit) -> dict[str, object]:
    return {
        "account": visit.place.account,
        "region": visit.place.region,
        "deployed": None if visit.error is not None else visit.look is not None,
        **(_look(visit.look) if visit.look is not None else {}),
        **({"error": error_document(visit.error, one_line(visit.error))} if visit.error is not None else {}),
    }


def _look(look: Look) -> dict[str, object]:
    about_fleet = {"convergence": fleet.document(look.fleet)} if look.fleet is not None else {}
    return {**overview.document(look.overview), **about_fleet}
