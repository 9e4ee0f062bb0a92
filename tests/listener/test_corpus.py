"""Events lost, late, doubled and shuffled end in the same markers."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from keyturn.errors import SecretNotFoundError
from keyturn.markers.decisions import Hint, agrees_with_description
from keyturn.markers.recorder import Recorder
from keyturn.model.versions import AWSCURRENT, Described
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager
from rotation_listener.events import parse
from tests.hosts import host_of
from tests.listener.test_events import EVENTS, INDEX

FILES = sorted(str(row["file"]) for row in INDEX)
HINTS = [
    hint for file in FILES if isinstance(hint := parse(json.loads((EVENTS / file).read_text("utf-8"))), Hint)
]
PREFIX = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"


@dataclass(frozen=True)
class Account:
    """The secrets that the samples speak of."""

    names: tuple[str, ...] = ("prod/app/db", "rds!db-0a1b2c3d-1111-2222-3333-444455556666")

    def describe(self, secret_id: str) -> Described:
        for one in self.list():
            if secret_id in (one.name, one.arn, one.arn[:-7]):
                return one
        raise SecretNotFoundError(secret_id)

    def list(self) -> Iterator[Described]:
        stages = {AWSCURRENT: "7f1c3b1e-0000-4000-8000-0000000000b2"}
        return (Described(f"{PREFIX}{name}-AbCdEf", name, stages) for name in self.names)


@given(st.permutations(HINTS * 2), st.integers(0, len(HINTS)))
def test_shuffled_doubled_and_lost_samples_end_in_the_same_markers(order: list[Hint], lost: int) -> None:
    """As long as one event of each secret arrives, the markers say what the account says."""
    account, table = Account(), FakeMarkers()
    recorder = Recorder(account, table, host_of(), settle_s=0)
    arrived = order[lost:]
    for hint in arrived:
        recorder.record(hint)
    told_of = {hint.secret_id for hint in arrived}
    expected = {one.arn: one.stages for one in account.list() if one.arn in told_of}
    assert expected == {marker.arn: marker.stages for marker in table.items.values()}
    assert len(expected) == table.calls["write"]


@dataclass
class Late:
    """A `Catalog` whose answers are, by chance, some moves old, until it has settled."""

    truth: FakeSecretsManager
    chance: Random
    past: deque[Described] = field(default_factory=lambda: deque(maxlen=4))
    settled: bool = False

    def describe(self, secret_id: str) -> Described:
        answer = self.truth.describe(secret_id)
        self.past.append(answer)
        return answer if self.settled else self.chance.choice(self.past)

    def list(self) -> Iterator[Described]:
        return self.truth.list()


@given(
    st.randoms(use_true_random=False), st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=8)
)
def test_whatever_was_late_the_last_word_is_the_secrets(chance: Random, moves: list[str]) -> None:
    """AWSCURRENT moves to and fro, answers lag, events come shuffled: one settled look makes it right."""
    secrets = FakeSecretsManager()
    arn = secrets.create("db", "value", "a")
    catalog, table = Late(secrets, chance), FakeMarkers(FakeClock())
    recorder = Recorder(catalog, table, host_of(), settle_s=6)
    waiting: list[Hint] = []
    for version_id in moves:
        secrets.put("db", "value", version_id)
        waiting += [Hint(arn, "db", version_id, AWSCURRENT)] * chance.choice([0, 1, 2])
        chance.shuffle(waiting)
        while waiting and chance.random() < 0.5:
            recorder.record(waiting.pop())
    catalog.settled = True
    recorder.record(Hint(arn, reason="the sweep's question"))
    (marker,) = table.items.values()
    assert agrees_with_description(marker, secrets.describe(arn))
