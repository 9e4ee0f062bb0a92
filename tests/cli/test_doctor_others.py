"""`keyturn doctor` on the tables of other accounts and Regions: each is read as a cache reads it."""

from __future__ import annotations

import pytest

from keyturn.cli.doctor.finding import Cause, Finding, Level, Subject
from keyturn.cli.doctor.others import checks_of
from keyturn.errors import ConfigurationError, MarkerTableError
from keyturn.testing.fakes import FakeClock, FakeMarkers
from tests.cli.test_doctor import Clinic

TABLE = "arn:aws:dynamodb:us-east-1:444455556666:table/keyturn-markers"


def found(markers: FakeMarkers) -> Finding:
    """What the doctor finds about this table."""
    [(name, check)] = checks_of({TABLE: markers}).items()
    assert f"table {TABLE}" == name
    return check(Subject(Clinic(), "markers", "us-east-1", FakeClock().wall))


def test_a_table_that_can_be_read_is_well() -> None:
    """Two calls, those of a cache, and no other."""
    markers = FakeMarkers()
    markers.sweep()
    finding = found(markers)
    assert (Level.OK, "this role may read it; swept as of 300 s ago") == (finding.level, finding.what)
    assert 2 == markers.calls["head"] + markers.calls["markers"]


@pytest.mark.parametrize(
    "error",
    [
        MarkerTableError(TABLE, "this role may not use the table", denied=True),
        ConfigurationError("no client"),
    ],
)
def test_a_table_that_cannot_be_read_is_wrong(error: Exception) -> None:
    """The finding has the error's text, and says where both sides are described."""
    markers = FakeMarkers()
    markers.fail = lambda: error
    finding = found(markers)
    assert (Level.WRONG, str(error)) == (finding.level, finding.what)
    assert "keyturn help accounts-and-regions" in finding.fix


def test_a_role_that_may_not_read_several_markers_is_wrong() -> None:
    """A cache would read them one by one."""
    markers = FakeMarkers()
    markers.sweep()
    markers.denied = frozenset({"head#1"})
    assert Level.WRONG is found(markers).level


@pytest.mark.parametrize("swept", [True, False])
def test_a_table_without_a_recent_sweep_is_wrong(*, swept: bool) -> None:
    """Its markers cover nothing; a table without a head was never swept."""
    markers = FakeMarkers()
    if swept:
        markers.sweep(markers.clock.wall_s - 2000)
    finding = found(markers)
    assert (Level.WRONG, Cause.SWEEP_STOPPED if swept else Cause.NO_HEAD) == (finding.level, finding.cause)
    assert "its markers cover nothing" in finding.what
