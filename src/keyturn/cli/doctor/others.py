"""Checks of the marker tables of other accounts and Regions: each is read as a cache reads it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from keyturn.cache.limits import DEFAULTS
from keyturn.cli.doctor.finding import Cause, Check, Finding, Level, Subject, wrong
from keyturn.errors import ConfigurationError, MarkerTableError
from keyturn.markers.schema import HEAD_KEY
from keyturn.model.protocols import MarkerReader

_BOTH_SIDES = "attach both policies, or name a role: keyturn help accounts-and-regions"
_SWEEP = "run keyturn doctor in the account and Region of the table"


def checks_of(readers: Mapping[str, MarkerReader]) -> Mapping[str, Check]:
    """Return a check of each of these tables, by name; `readers` reads them, by ARN."""
    return {f"table {table}": partial(_readable, table, reader) for table, reader in readers.items()}


def _readable(table: str, reader: MarkerReader, _: Subject) -> Finding:
    """Check that this role may read the head and markers of a table, and that its sweep is recent."""
    check = f"table {table}"
    try:
        head = reader.read_head()
        denied = reader.read_markers((HEAD_KEY, f"{HEAD_KEY}#1")).denied
    except MarkerTableError as error:
        return wrong(check, Cause.DENIED if error.denied else Cause.FAILED, str(error), _BOTH_SIDES)
    except ConfigurationError as error:
        return wrong(check, Cause.NO_CLIENT, str(error), _BOTH_SIDES)
    if denied:
        return wrong(check, Cause.DENIED, "this role may not read several markers together", _BOTH_SIDES)
    if head is None:
        return wrong(check, Cause.NO_HEAD, "it has no usable head: its markers cover nothing", _SWEEP)
    age_s = head.swept_age_s
    if age_s is None or age_s >= DEFAULTS.lease_s:
        cause = Cause.NEVER_SWEPT if age_s is None else Cause.SWEEP_STOPPED
        return wrong(check, cause, "no recent sweep: its markers cover nothing", _SWEEP)
    return Finding(check, Level.OK, f"this role may read it; swept as of {age_s:.0f} s ago")
