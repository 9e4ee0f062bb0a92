"""What must hold right after a call was interrupted: nothing of it is left behind."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.cache.flights import SingleFlight
from keyturn.client import SecretCache
from keyturn.testing.parts import parts_of
from tests.simulation.checkers.broken import require
from tests.simulation.hosts import Host
from tests.simulation.scheduler import Actor

READS, CHECKS, REPORTS = "keyturn-read", "keyturn-check", "keyturn-report"
"""The names of the threads that carry out flights."""


def sound(cache: SecretCache, host: Host, actor: Actor) -> None:
    """Judge a process whose thread `actor` is in no call: no lock, no flight and no id is lost."""
    require(actor.holds == 0, "interruptions", f"{host.name}: {actor.holds} locks stay taken")
    parts = parts_of(cache)
    made = parts.parameters.made or ()
    kinds = (
        (READS, (*parts.caches, *made)),
        (CHECKS, (parts.checker.checks,)),
        (REPORTS, (parts.checker,)),
    )
    for kind, owners in kinds:
        flights = sum(len(one) for owner in owners for one in _flights_of(owner))
        carried_out = host.machine.carry_out(kind)
        what = f"{host.name}: of {flights} flights of {kind} {carried_out} are carried out"
        require(flights <= carried_out, "interruptions", what)
    for one in parts.caches:
        for secret_id in vars(one.holdings)["_arns"]:
            secret = one.holdings.secret(secret_id)
            is_owned = secret is not None and secret_id in secret.aliases
            require(is_owned, "interruptions", f"{host.name}: {secret_id} belongs to nobody")


def _flights_of(owner: object) -> Iterator[SingleFlight[object, object]]:
    return (one for one in vars(owner).values() if isinstance(one, SingleFlight))
