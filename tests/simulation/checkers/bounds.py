"""The promised times, in true seconds, from the parts that they are made of."""

from __future__ import annotations

from keyturn.cache.limits import DEFAULTS
from tests.simulation.peers.dynamodb import READ_LAG_S as TABLE_LAG_S
from tests.simulation.peers.lambdas import NATIVE_DELAY_S
from tests.simulation.peers.secretsmanager import LIST_LAG_S

SETTLE_S = 6.0
BACKOFF_STEP_S = 4.0
CALLS_S = 6.0
"""What the calls on the way take together, slow ones included."""

SWEEP_EVERY_S = 300.0
REST_S = 65.0
"""After trouble, the longest pause until the cache and the listener try again."""

PATIENCE_S = DEFAULTS.refresh_wait_s - 0.1
"""Who has waited so long in all, for a slow check of the table say, leaves with the copy that there is."""

APART_S = 12.0
"""Moves of one label that are closer than this may reach the table in any order."""

DRIFT = 1.001


def by_event_s(check_interval_s: float, *, back: bool) -> float:
    """Events flow: the event, DescribeSecret, the table, the check, one step of back-off."""
    way_s = NATIVE_DELAY_S + SETTLE_S + TABLE_LAG_S + check_interval_s + BACKOFF_STEP_S + CALLS_S
    return way_s + (SETTLE_S + BACKOFF_STEP_S if back else 0.0)


def by_sweep_s(check_interval_s: float, *, back: bool) -> float:
    """Only sweeps: the list's lag, the wait for the next sweep, its run, and the way from there."""
    return LIST_LAG_S + SWEEP_EVERY_S + 2 * SETTLE_S + by_event_s(check_interval_s, back=back)


def by_lease_s(lease_s: float, check_interval_s: float, *, back: bool) -> float:
    """Nothing but the end of the lease."""
    return lease_s + by_event_s(check_interval_s, back=back)
