"""The items: what is written can be read, and whatever else stands in a table is no marker."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.aws.dynamodb import NUMBER_MAX
from keyturn.markers.schema import head_of, item_of, marker_of
from keyturn.model.markers import LEFT_MAX, Marker
from tests.markers.marker_contract import ARN_PREFIX, marker

HEAD: Mapping[str, object] = {
    "pk": {"S": "head"},
    "schema": {"N": "1"},
    "epoch": {"S": "e"},
    "counter": {"N": "7"},
    "swept_as_of_s": {"N": "1000.5"},
}
ITEM: Mapping[str, object] = item_of(marker(), epoch="e", sequence=3)

ids = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=64)
attributes = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(max_size=80)),
        st.builds(lambda number: {"N": str(number)}, st.one_of(st.integers(), st.floats())),
        st.builds(lambda flag: {"BOOL": flag}, st.booleans()),
        st.builds(lambda _: {"NULL": True}, st.none()),
        st.builds(lambda blob: {"B": blob}, st.binary(max_size=8)),
        st.builds(lambda texts: {"SS": texts}, st.lists(st.text(max_size=4), max_size=3)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda entries: {"L": entries}, st.lists(inner, max_size=3)),
        st.builds(lambda entries: {"M": entries}, st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    ),
    max_leaves=6,
)
names = st.one_of(st.sampled_from([*ITEM, *HEAD, "token", "step"]), st.text(max_size=8))


@given(
    stages=st.dictionaries(ids, ids, max_size=20),
    left=st.lists(ids, max_size=LEFT_MAX),
    deleted=st.booleans(),
    token=st.none() | ids,
    step=st.none() | ids,
    reason=st.text(max_size=256),
    changed_at_s=st.integers(0, 10**12).map(lambda ms: ms / 1000),
    epoch=ids,
    sequence=st.integers(1, NUMBER_MAX),
)
def test_what_is_written_is_read(  # noqa: PLR0917 # one argument for each attribute of the schema
    stages: dict[str, str],
    left: list[str],
    deleted: bool,  # noqa: FBT001 # drawn by hypothesis, by name
    token: str | None,
    step: str | None,
    reason: str,
    changed_at_s: float,
    epoch: str,
    sequence: int,
) -> None:
    """Every marker within the schema's bounds survives being an item."""
    key = ARN_PREFIX + "db"
    written = Marker(
        key, key + "-AbCdEf", stages, tuple(left), deleted, token, step, reason, changed_at_s, epoch, sequence
    )
    assert written == marker_of(item_of(written, epoch=epoch, sequence=sequence))


@given(st.dictionaries(names, attributes, max_size=12) | attributes | st.text() | st.none())
def test_any_item_is_a_marker_or_none(item: object) -> None:
    """Decoding never raises, whatever somebody put into the table."""
    assert marker_of(item) is None or isinstance(item, Mapping)
    assert head_of(item, 5.0) is None or isinstance(item, Mapping)


@given(st.sampled_from(sorted(ITEM)), attributes)
def test_one_strange_attribute_never_raises(name: str, attribute: object) -> None:
    """Nor does it when all but one attribute is in order."""
    marker_of({**ITEM, name: attribute})
    head_of({**HEAD, name: attribute}, 5.0)


@pytest.mark.parametrize(
    "broken",
    [
        {"schema": {"N": "2"}},
        {"schema": {"S": "1"}},
        {"sequence": {"N": "0"}},
        {"sequence": {"N": str(NUMBER_MAX + 1)}},
        {"sequence": {"N": "1.5"}},
        {"sequence": {"N": "9" * 60}},
        {"sequence": {"S": "1"}},
        {"sequence": {"N": "1", "S": "1"}},
        {"epoch": {"S": ""}},
        {"epoch": {"S": "e" * 65}},
        {"arn": {"S": ARN_PREFIX + "prod/other-AbCdEf"}},
        {"arn": {"S": ARN_PREFIX + "prod/dbxAbCdEf"}},
        {"arn": {"S": ""}},
        {"stages": {"M": {"AWSCURRENT": {"S": "v" * 65}}}},
        {"stages": {"M": {"AWSCURRENT": {"N": "1"}}}},
        {"stages": {"M": {"": {"S": "v"}}}},
        {"stages": {"M": {f"stage-{n}": {"S": "v"} for n in range(101)}}},
        {"stages": {"S": "v1"}},
        {"left": {"L": [{"S": "v"}] * (LEFT_MAX + 1)}},
        {"left": {"SS": ["v"]}},
        {"deleted": {"S": "true"}},
        {"token": {"S": "t" * 129}},
        {"step": {"S": ""}},
        {"reason": {"S": "r" * 257}},
        {"changed_at_s": {"N": "-1"}},
        {"changed_at_s": {"N": "NaN"}},
        {"changed_at_s": {"N": "Infinity"}},
        {"changed_at_s": {"N": "noon"}},
        {"deleted": {"BOOL": "yes"}},
        {"pk": {"S": "head"}},
    ],
    ids=str,
)
def test_a_broken_item_is_no_marker(broken: Mapping[str, object]) -> None:
    """An attribute of another type, out of range, or of another secret spoils the whole item."""
    assert marker_of(ITEM) is not None
    assert marker_of({**ITEM, **broken}) is None


@pytest.mark.parametrize("missing", ["schema", "pk", "epoch", "sequence", "arn", "stages"])
def test_an_item_without_its_core_is_no_marker(missing: str) -> None:
    """These attributes cannot be left out."""
    assert marker_of({name: value for name, value in ITEM.items() if name != missing}) is None


def test_an_item_of_a_minimal_writer_is_a_marker() -> None:
    """The other attributes can be left out, and unknown ones are passed over."""
    core = {name: ITEM[name] for name in ("schema", "pk", "epoch", "sequence", "arn", "stages")}
    found = marker_of({**core, "added_later": {"S": "x"}})
    assert found is not None
    assert ("", (), False, None) == (found.reason, found.left, found.deleted, found.token)


@pytest.mark.parametrize(
    "broken",
    [
        {"counter": {"N": str(NUMBER_MAX + 1)}},
        {"counter": {"N": "-1"}},
        {"counter": {"S": "7"}},
        {"epoch": {"N": "1"}},
        {"schema": {"N": "2"}},
        {"swept_as_of_s": {"S": "now"}},
        {"swept_as_of_s": {"N": "5000"}},
    ],
    ids=str,
)
def test_a_broken_head_is_no_head(broken: Mapping[str, object]) -> None:
    """Out of range, of another type, or swept later than the moment of the answer: not covered."""
    assert head_of(HEAD, 2000.0) is not None
    assert head_of({**HEAD, **broken}, 2000.0) is None


def test_long_texts_are_cut_when_written() -> None:
    """A reason of any length and a longer past than the schema holds are still a valid item."""
    key = ARN_PREFIX + "db"
    long = Marker(key, key, {}, tuple(f"v{n}" for n in range(30)), reason="r" * 5000)
    found = marker_of(item_of(long, epoch="e", sequence=1))
    assert found is not None
    assert (256, "v29", LEFT_MAX) == (len(found.reason), found.left[-1], len(found.left))


def test_the_marker_of_a_deleted_secret_ends_after_every_window_for_its_restoration() -> None:
    """60 days after its last write, in whole seconds as DynamoDB wants them; any other marker stays."""
    buried = marker()._replace(deleted=True, changed_at_s=1_790_000_000.25)
    assert {"N": str(1_790_000_000 + 60 * 86400)} == item_of(buried, epoch="e", sequence=4)["expires_at_s"]
    assert "expires_at_s" not in ITEM
