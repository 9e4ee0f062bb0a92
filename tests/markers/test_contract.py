"""The contract of `MarkerReader` and `MarkerStore`, kept by the fake and by the table behind a client."""

from __future__ import annotations

import pytest

from keyturn.errors import MarkerTableError
from keyturn.markers.table import MarkerTable
from keyturn.testing import FakeClock, FakeMarkers
from tests.markers.conftest import World
from tests.markers.marker_contract import ONE, MarkersContract, Table, write


class TestFake(MarkersContract):
    """The fake that all tests of the cache rest on."""

    @pytest.fixture
    def table(self) -> Table:
        return FakeMarkers(FakeClock(wall_s=1_790_000_000.75))


class TestMoto(MarkersContract):
    """A boto3 client on moto."""

    @pytest.fixture
    def table(self, world: World) -> MarkerTable:
        return world.table()


def test_the_fake_fails_on_demand() -> None:
    """Every method of it, and again none of them; what was asked is counted, failed or not."""
    fake = FakeMarkers()
    write(fake, ONE)
    fake.calls.clear()
    fake.fail = lambda: MarkerTableError("fake", "no answer")
    for ask in (fake.read_head, lambda: fake.read_markers([ONE.key]), lambda: fake.look(ONE.key)):
        with pytest.raises(MarkerTableError, match="no answer"):
            ask()
    fake.fail = lambda: None
    assert ONE.stages == fake.items[ONE.key].stages
    with pytest.raises(MarkerTableError, match="no answer"):
        _write_failing(fake)
    assert {"head": 1, "markers": 1, "look": 2, "write": 1} == fake.calls


def _write_failing(fake: FakeMarkers) -> None:
    seen = fake.look(ONE.key)
    fake.fail = lambda: MarkerTableError("fake", "no answer")
    fake.write([(seen, ONE)])
