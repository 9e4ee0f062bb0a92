"""The sweep: what it costs, what it corrects, what it counts, and when the lease is renewed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import boto3
import pytest
from moto import mock_aws

from keyturn.aws.catalog import SecretsManagerCatalog, Tag
from keyturn.errors import AccessDeniedError, MarkerTableError, SecretError, UnavailableError
from keyturn.markers.decisions import UNWATCHED, Hint, ParameterHint
from keyturn.markers.recorder import Outcome, Recorded
from keyturn.markers.schema import item_of, marker_of
from keyturn.markers.sweeper import Sweeper, Swept
from keyturn.model.markers import Marker
from keyturn.model.versions import AWSCURRENT, AWSPENDING, Described
from rotation_listener.listener import Listener, Settings
from tests.listener.conftest import NAME, SETTLE_S, TABLE, World

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import TagTypeDef

_T = TypeVar("_T")
_R = TypeVar("_R")

PARAMETER = "arn:aws:ssm:us-east-1:111122223333:parameter/prod/db"


def sweep(world: World, time_is_up: Callable[[], bool] = lambda: False) -> Swept:
    """One sweep; what is counted afterwards is this sweep's alone."""
    world.calls.clear()
    world.secrets.calls.clear()
    return world.sweeper().run(time_is_up)


def swept_as_of_s(world: World) -> float | None:
    """The lease."""
    head = world.table.read_head()
    return head.swept_as_of_s if head is not None else None


def failing(arn: str, kind: type[SecretError]) -> Callable[[str], Exception | None]:
    """A Secrets Manager that fails for one secret."""
    return lambda secret_id: kind(secret_id) if secret_id == arn else None


def forge(world: World, marker: Marker) -> Marker:
    """Put a marker that no writer of the library makes."""
    item = item_of(marker, epoch="forged", sequence=1)
    assert marker_of(item) is not None
    world.client.put_item(TableName=TABLE, Item=item)  # type: ignore[arg-type] # as the library types items
    return marker


@pytest.mark.proof
def test_new_secrets_are_marked_many_at_a_time(world: World) -> None:
    """110 secrets are 110 DescribeSecret and two writes of many markers, and are no lost events."""
    for number in range(109):
        world.secrets.create(f"many/{number}", "value")
    swept = sweep(world)
    assert Swept(listed=110, first=110, renewed=True) == swept
    assert (2, 110) == (world.writes, world.secrets.calls["DescribeSecret"])
    assert 110 == len(list(world.table.scan()))


def test_a_quiet_sweep_asks_for_nothing(world: World) -> None:
    """When list and markers agree there is no DescribeSecret and no write but the lease."""
    sweep(world)
    assert Swept(listed=1, renewed=True) == sweep(world)
    assert (0, 0) == (world.writes, world.secrets.calls["DescribeSecret"])
    assert [] == world.naps_s


def test_the_lease_begins_before_what_a_list_may_miss(world: World) -> None:
    """`swept_as_of_s` is the table's clock at the start, less the five minutes of ListSecrets."""
    before_s = world.table.now_s()
    sweep(world)
    as_of_s = swept_as_of_s(world)
    assert as_of_s is not None
    assert before_s <= as_of_s + 300 <= world.table.now_s()


def test_a_list_that_is_behind_corrects_nothing(world: World) -> None:
    """A difference is a question: DescribeSecret agrees with the marker, so nothing is written."""
    sweep(world)
    world.catalog.listed = [world.described()]
    world.rotate("v2")
    world.recorder.record(Hint(world.arn, NAME, "v2", AWSCURRENT))
    assert Swept(listed=1, renewed=True) == sweep(world)
    assert ("v2", 0, []) == (world.current, world.writes, world.naps_s)


def test_a_secret_that_the_list_does_not_have_yet_is_kept(world: World) -> None:
    """A marker without a listed secret is looked up before it is buried."""
    sweep(world)
    world.catalog.listed = []
    assert Swept(renewed=True) == sweep(world)
    assert not world.found().deleted


def test_a_move_that_no_event_announced_is_found_and_counted(world: World) -> None:
    """It is written after two answers a settle time apart, and counts as found by the sweep."""
    sweep(world)
    world.rotate("v2")
    assert Swept(listed=1, corrected=1, found_by_sweep=1, renewed=True) == sweep(world)
    assert ("v2", [SETTLE_S]) == (world.current, world.naps_s)


def test_a_roll_back_that_no_event_announced_is_found(world: World) -> None:
    """Two answers a settle time apart vouch for a move back to a version that was left."""
    for version_id in ("v1", "v2"):
        world.rotate(version_id)
        sweep(world)
    world.rotate("v1")
    assert 1 == sweep(world).found_by_sweep
    assert "v1" == world.current


def test_an_event_on_its_way_is_not_counted(world: World) -> None:
    """The event that arrives within the settle time does the work, and is no lost event."""
    sweep(world)
    world.rotate("v2")
    recorder = world.recorder

    def arrive(seconds: float) -> None:
        world.nap(seconds)
        recorder.record(Hint(world.arn, NAME, "v2", AWSCURRENT))

    swept = world.sweeper(sleep=arrive).run(lambda: False)
    assert Swept(listed=1, renewed=True) == swept
    assert "v2" == world.current


def test_what_no_native_event_announces_is_corrected_and_not_counted(world: World) -> None:
    """A pending version, a scheduled deletion, a re-created secret: no alarm for these."""
    sweep(world)
    world.secrets.move(NAME, AWSPENDING, "v2")
    assert Swept(listed=1, corrected=1, renewed=True) == sweep(world)
    world.secrets.delete(NAME)
    assert Swept(listed=1, corrected=1, renewed=True) == sweep(world)
    world.secrets.purge(NAME)
    arn = world.secrets.create(NAME, "value", "v9")
    assert Swept(listed=1, corrected=1, renewed=True) == sweep(world)
    assert (arn, False) == (world.found().arn, world.found().deleted)


def test_a_secret_that_is_gone_is_buried_once(world: World) -> None:
    """Later sweeps do not ask for it again."""
    sweep(world)
    world.secrets.purge(NAME)
    assert 1 == sweep(world).corrected
    assert world.found().deleted
    assert Swept(renewed=True) == sweep(world)
    assert 0 == world.secrets.calls["DescribeSecret"]


def test_a_marker_of_another_account_is_buried(world: World) -> None:
    """A secret of the same name here does not vouch for a foreign one: a forged marker ends."""
    sweep(world)
    key = world.key.replace("111122223333", "999999999999")
    forged = world.found()._replace(key=key, arn=world.arn.replace("111122223333", "999999999999"))
    world.table.write([(world.table.absent(key), forged)])
    assert Swept(listed=1, corrected=1, renewed=True) == sweep(world)
    buried = world.table.look(key).marker
    assert buried is not None
    assert (True, False) == (buried.deleted, world.found().deleted)


@pytest.mark.parametrize("left", [(), ("v1",)], ids=["", "with a version that it would go back to"])
def test_a_marker_under_the_key_of_no_secret_is_buried(world: World, left: tuple[str, ...]) -> None:
    """Who may write markers can forge one that names an existing secret under another key: it ends."""
    sweep(world)
    forged = forge(world, Marker(key=world.arn, arn=world.arn, stages={AWSCURRENT: "forged"}, left=left))
    assert Swept(listed=1, corrected=1, renewed=True) == sweep(world)
    buried = world.table.look(forged.key).marker
    assert buried is not None
    assert (True, False) == (buried.deleted, world.found().deleted)
    assert Swept(listed=1, renewed=True) == sweep(world)


def test_a_marker_that_names_another_secret_is_put_right(world: World) -> None:
    """A name that ends like an ARN lets a marker of one secret name another one."""
    world.secrets.create("prod/db-master", "value", "v9")
    sweep(world)
    forge(world, world.found()._replace(arn=world.key + "-master"))
    assert 1 == sweep(world).corrected
    assert (world.arn, "v1", False) == (world.found().arn, world.current, world.found().deleted)
    assert Swept(listed=2, renewed=True) == sweep(world)


def test_a_marked_secret_that_cannot_be_looked_at_keeps_the_lease_from_renewal(world: World) -> None:
    """Every secret with a marker counts as covered, so one that fails costs the lease, not the others."""
    other = world.secrets.create("other", "value", "v1")
    sweep(world)
    before_s = swept_as_of_s(world)
    world.rotate("v2")
    world.secrets.put("other", "value", "v2")
    world.secrets.fail = failing(other, AccessDeniedError)
    assert Swept(listed=2, corrected=1, found_by_sweep=1, failed=1) == sweep(world)
    assert ("v2", before_s) == (world.current, swept_as_of_s(world))


def test_an_unmarked_secret_that_is_denied_holds_up_nobody(world: World) -> None:
    """Without a marker no reader takes it for covered."""
    denied = world.secrets.create("denied", "value")
    world.secrets.fail = failing(denied, AccessDeniedError)
    assert Swept(listed=2, first=1, unreadable=1, renewed=True) == sweep(world)


def test_an_unmarked_secret_that_is_throttled_is_a_failure(world: World) -> None:
    """A passing fault is asked again by the next sweep before the lease is renewed."""
    throttled = world.secrets.create("throttled", "value")
    world.secrets.fail = failing(throttled, UnavailableError)
    assert Swept(listed=2, first=1, failed=1) == sweep(world)


def test_a_sweep_that_runs_out_of_time_keeps_what_it_has(world: World) -> None:
    """The markers written so far stay, the lease is not renewed, the next sweep goes on."""
    for number in range(109):
        world.secrets.create(f"many/{number}", "value")
    answers = iter([False, True])
    assert Swept(listed=110, first=99, in_time=False) == sweep(world, lambda: next(answers))
    assert swept_as_of_s(world) is None
    assert Swept(listed=110, first=11, renewed=True) == sweep(world)


def test_no_time_at_all_corrects_nothing(world: World) -> None:
    """The settle time is not waited for when there is none left."""
    sweep(world)
    world.rotate("v2")
    assert Swept(listed=1, in_time=False) == sweep(world, lambda: True)
    assert ("v1", []) == (world.current, world.naps_s)


def test_a_second_look_that_fails_keeps_the_lease_from_renewal(world: World) -> None:
    """One answer is not enough to take a marker back, and the doubt is not forgotten."""
    world.rotate("v2")
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.secrets.move(NAME, "AWSCURRENT", "v2")
    sweep(world)
    world.secrets.move(NAME, "AWSCURRENT", "v1")

    def fail_after(seconds: float) -> None:
        world.nap(seconds)
        world.secrets.fail = UnavailableError

    swept = world.sweeper(sleep=fail_after).run(lambda: False)
    assert Swept(listed=1, failed=1) == swept
    world.secrets.fail = lambda _: None
    assert "v2" == world.current


@pytest.mark.proof
def test_many_moves_without_an_event_are_corrected_together(world: World) -> None:
    """110 secrets that moved are 110 DescribeSecret, one settle time and two writes."""
    names = [NAME, *(f"many/{number}" for number in range(109))]
    for name in names[1:]:
        world.secrets.create(name, "value")
    sweep(world)
    for name in names:
        world.secrets.put(name, "value", "v2")
    swept = sweep(world)
    assert Swept(listed=110, corrected=110, found_by_sweep=110, renewed=True) == swept
    assert (2, 110, [6.0]) == (world.writes, world.secrets.calls["DescribeSecret"], world.naps_s)
    assert {"v2"} == {
        seen.marker.stages["AWSCURRENT"] for seen in world.table.scan() if seen.marker is not None
    }


def test_secrets_are_asked_about_side_by_side(world: World) -> None:
    """As many at a time as the listener's threads; a failure of one is that one's."""
    # Forty that meet by fours, and the one that fails.
    names = [f"many/{number}" for number in range(41)]
    for name in names:
        world.secrets.create(name, "value")
    sweep(world)
    for name in names:
        world.secrets.put(name, "value", "v2")
    world.secrets.fail = lambda secret_id: UnavailableError("x") if "many/7-" in secret_id else None
    meeting = threading.Barrier(4, timeout=5.0)
    describe = world.catalog.describe

    def met(secret_id: str) -> Described:
        if "many/7-" not in secret_id:
            with suppress(threading.BrokenBarrierError):
                meeting.wait()
        return describe(secret_id)

    world.catalog.describe = met  # type: ignore[method-assign]
    with ThreadPoolExecutor(8) as pool:

        def side_by_side(work: Callable[[_T], _R], items: Sequence[_T]) -> Iterable[_R]:
            return pool.map(work, items)

        swept = world.sweeper(parallel=side_by_side).run(lambda: False)
    assert (40, 1, False) == (swept.corrected, swept.failed, swept.renewed)


def test_an_untold_marker_is_told_before_the_lease(world: World) -> None:
    """Its writer was killed before it told the head: the sweep does, and counts it."""
    sweep(world)
    item = world.table.look(world.key).marker
    assert item is not None
    leave_untold(world)
    head = world.table.read_head()
    assert Swept(listed=1, told=1, renewed=True) == sweep(world)
    after = world.table.read_head()
    assert head is not None
    assert after is not None
    assert head.counter < after.counter
    assert not world.table.look(world.key).untold


def test_a_sweep_that_cannot_tell_renews_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease says that readers were told of all that is in the markers."""
    sweep(world)
    before_s = swept_as_of_s(world)
    leave_untold(world)
    world.clock.advance(300)

    def fail(_seen: object) -> None:
        raise MarkerTableError("markers", "throttled")

    monkeypatch.setattr(world.table, "tell", fail)
    with pytest.raises(MarkerTableError):
        sweep(world)
    assert before_s == swept_as_of_s(world)


def leave_untold(world: World) -> None:
    """The marker as a writer leaves it that is killed before it has told the head."""
    world.client.update_item(
        TableName=TABLE,
        Key={"pk": {"S": world.key}},
        UpdateExpression="SET untold = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )


def test_a_sweep_that_runs_out_of_time_after_the_settle_time(world: World) -> None:
    """What was only seen once is left to the next sweep, with the lease."""
    sweep(world)
    world.rotate("v2")
    answers = iter([False, True])
    assert Swept(listed=1, in_time=False) == sweep(world, lambda: next(answers))
    assert "v1" == world.current


def test_two_answers_that_contradict_each_other_correct_nothing(world: World) -> None:
    """Each would move AWSCURRENT back, but to another version: neither counts, and the lease stays."""
    for version_id in ("v1", "v2", "v3"):
        world.rotate(version_id)
        sweep(world)
    world.rotate("v1")

    def move_again(seconds: float) -> None:
        world.nap(seconds)
        world.rotate("v2")

    swept = world.sweeper(sleep=move_again).run(lambda: False)
    assert (1, "v3") == (swept.failed, world.current)
    assert not swept.renewed


def test_a_listed_secret_that_is_gone_gets_no_marker(world: World) -> None:
    """The list is behind: what DescribeSecret does not know, or knows by another name, is passed over."""
    gone = world.secrets.create("gone", "value")
    listed = [*world.secrets.list()]
    world.secrets.purge("gone")
    world.catalog.listed = listed
    assert Swept(listed=2, first=1, renewed=True) == sweep(world)
    assert [world.key] == [seen.key for seen in world.table.scan()]
    assert gone not in {seen.marker.arn for seen in world.table.scan() if seen.marker is not None}


def test_a_conflict_and_a_throttle_cost_one_secret_its_marker(world: World) -> None:
    """After a conflict each is looked at alone; the one that fails is a failure, the others are written."""
    world.secrets.create("busy", "value")
    throttled = world.secrets.create("throttled", "value")
    recorder = world.recorder
    looks = 0

    def announced_then_throttled() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            world.catalog.before_answer = lambda: None
            recorder.record(Hint("busy"))
            world.catalog.before_answer = announced_then_throttled
        if looks == 4:
            world.secrets.fail = failing(throttled, UnavailableError)

    world.catalog.before_answer = announced_then_throttled
    assert Swept(listed=3, first=1, failed=1) == sweep(world)
    assert {"busy", NAME} == {seen.key.rpartition(":secret:")[2] for seen in world.table.scan()}


def test_somebody_who_marks_first_costs_the_others_nothing(world: World) -> None:
    """When one of a batch was announced meanwhile, the rest are written one by one."""
    for number in range(3):
        world.secrets.create(f"many/{number}", "value")
    recorder = world.recorder

    def announced_meanwhile() -> None:
        world.catalog.before_answer = lambda: None
        recorder.record(Hint("many/1"))

    world.catalog.before_answer = announced_meanwhile
    assert Swept(listed=4, first=3, renewed=True) == sweep(world)
    assert 4 == len(list(world.table.scan()))


def test_a_parameters_marker_is_left_alone(world: World) -> None:
    """The sweep reads no parameters, so it neither buries nor vouches for them."""
    world.recorder.record_parameter(ParameterHint(PARAMETER, "id-1"))
    before = world.table.look(PARAMETER)
    assert Swept(listed=1, first=1, renewed=True) == sweep(world)
    assert before == world.table.look(PARAMETER)
    assert (1, []) == (world.secrets.calls["DescribeSecret"], world.naps_s)


def test_a_list_that_fails_fails_the_sweep(world: World) -> None:
    """Nothing is buried and nothing renewed on half a list."""
    sweep(world)
    before_s = swept_as_of_s(world)

    class Halved:
        def describe(self, secret_id: str) -> Described:
            raise AssertionError(secret_id)

        def list(self) -> Iterator[Described]:
            yield world.described()
            raise UnavailableError("*")

    with pytest.raises(UnavailableError):
        world.sweeper(catalog=Halved()).run(lambda: False)
    assert before_s == swept_as_of_s(world)


def test_a_table_that_fails_fails_the_sweep(world: World) -> None:
    """Without the table's clock there is no sweep."""

    class Broken:
        def now_s(self) -> float:
            raise MarkerTableError("markers", "unreachable")

    with pytest.raises(MarkerTableError):
        Sweeper(world.catalog, Broken(), world.host, settle_s=0).run(  # type: ignore[arg-type] # half a table
            lambda: False
        )


def test_only_wanted_names_are_marked_and_every_marker_is_kept_right(world: World) -> None:
    """Prefixes limit which secrets get markers; one that has a marker is swept all the same."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        for name in ("prod/a", "prod/b", "dev/c", "PROD/d"):
            client.create_secret(Name=name, SecretString="value")
        catalog = SecretsManagerCatalog(client, name_prefixes=("prod/",))
        recorder, sweeper = world.recorder_with(catalog=catalog), world.sweeper(catalog=catalog)
        recorder.record(Hint("dev/c", reason="announced"))
        assert 2 == sweeper.run(lambda: False).first
        names = {seen.key.rpartition(":secret:")[2] for seen in world.table.scan()}
        assert {"prod/a", "prod/b", "dev/c"} == names
        client.put_secret_value(SecretId="dev/c", SecretString="another")
        assert 1 == sweeper.run(lambda: False).found_by_sweep


def narrowed(world: World) -> Listener:
    """The listener after a deployment whose prefixes, and whose role, leave out the world's secret."""
    return Listener(Settings("markers", name_prefixes=("dev/",)), Nothing(), world.table, world.host)


class Nothing:
    """What a role may look at that may look at none of these secrets."""

    def describe(self, secret_id: str) -> Described:
        raise AccessDeniedError(secret_id, "no identity-based policy allows secretsmanager:DescribeSecret")

    def list(self) -> Iterator[Described]:
        return iter(())


@pytest.mark.parametrize("by", ["an event", "the sweep"])
def test_prefixes_that_became_narrower_let_the_others_go(world: World, by: str) -> None:
    """A marker outside of them covers no copy any more, since nobody keeps it right; none is described."""
    sweep(world)
    listener = narrowed(world)
    announced = {"keyturn": "announce", "secret_id": world.arn, "version_id": "v2", "step": "finishSecret"}
    heard = {"keyturn": "sweep"} if by == "the sweep" else announced
    assert {"swept", "written"} >= {listener.handle(heard, lambda: False)["outcome"]}
    marker = world.found()
    assert ({}, False, UNWATCHED) == (marker.stages, marker.deleted, marker.reason)
    assert "ignored" == listener.handle(announced, lambda: False)["outcome"]
    swept = listener.handle({"keyturn": "sweep"}, lambda: False)
    assert (0, 0, True) == (swept["corrected"], swept["failed"], swept["renewed"])
    assert marker == world.found()


def test_prefixes_that_became_wider_again_count_no_event_as_lost(world: World) -> None:
    """The sweep after it corrects the marker; nobody could have announced what nobody listened to."""
    sweep(world)
    narrowed(world).handle({"keyturn": "sweep"}, lambda: False)
    world.rotate("v2")
    swept = sweep(world)
    assert ("v2", 1, 0) == (world.current, swept.corrected, swept.found_by_sweep)


def test_a_secret_without_a_marker_is_not_looked_at_outside_of_the_prefixes(world: World) -> None:
    """Its event is ignored, whether it has the ARN or the name alone."""
    for secret_id in (world.arn, "prod/other"):
        event = {"keyturn": "announce", "secret_id": secret_id}
        assert "ignored" == narrowed(world).handle(event, lambda: False)["outcome"]
    assert [] == list(world.table.scan())


def test_a_tag_chooses_which_secrets_get_markers(world: World) -> None:
    """The sweep finds a tag that was added later; a marker whose secret lost its tag is kept right."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        for name, tags in (
            ("wanted", {"team": "orders", "keyturn": "yes"}),
            ("other value", {"keyturn": "yes, later"}),
            ("other tag", {"team": "keyturn", "stage": "yes"}),
            ("bare", {}),
        ):
            given: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in tags.items()]
            client.create_secret(Name=name.replace(" ", "-"), SecretString="value", Tags=given)
        catalog = SecretsManagerCatalog(client, tag=Tag("keyturn", "yes"))
        assert ["wanted"] == [one.name for one in catalog.list()]
        recorder, sweeper = world.recorder_with(catalog=catalog), world.sweeper(catalog=catalog)

        def swept() -> Swept:
            return sweeper.run(lambda: False)

        assert Recorded(Outcome.UNCHANGED, None) == recorder.record(Hint("bare", reason="an event"))
        assert (1, 1) == (swept().first, len(list(world.table.scan())))
        client.tag_resource(SecretId="bare", Tags=[{"Key": "keyturn", "Value": "yes"}])
        assert (1, 2) == (swept().first, len(list(world.table.scan())))
        client.untag_resource(SecretId="wanted", TagKeys=["keyturn"])
        arn = client.describe_secret(SecretId="wanted")["ARN"]
        put = client.put_secret_value(SecretId="wanted", SecretString="another")
        assert Outcome.WRITTEN is recorder.record(Hint(arn, "wanted", put["VersionId"], AWSCURRENT)).outcome
        client.put_secret_value(SecretId="wanted", SecretString="a third")
        assert 1 == swept().found_by_sweep


@pytest.mark.parametrize(
    ("tag", "filters"),
    [
        (Tag("keyturn", "yes"), {"tag-key": ["keyturn"], "tag-value": ["yes"]}),
        (Tag("keyturn", ""), {"tag-key": ["keyturn"]}),
        (Tag("keyturn"), {"tag-key": ["keyturn"]}),
    ],
)
def test_secrets_manager_is_asked_for_the_tag(tag: Tag, filters: dict[str, list[str]]) -> None:
    """A sweep of few secrets among many lists the few; an empty value cannot be asked for."""
    asked: list[object] = []
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.meta.events.register(
            "provide-client-params.secrets-manager.ListSecrets",
            lambda params, **_: asked.append(params["Filters"]),
        )
        assert [] == list(SecretsManagerCatalog(client, tag=tag).list())
    assert [[{"Key": key, "Values": values} for key, values in filters.items()]] == asked


def test_a_tag_that_is_taken_away_during_the_sweep_begins_no_marker(world: World) -> None:
    """The list is up to five minutes old; DescribeSecret decides."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        client.create_secret(Name="bare", SecretString="value")
        catalog = SecretsManagerCatalog(client, tag=Tag("keyturn"))
        listing = ListedBefore(catalog, [SecretsManagerCatalog(client).describe("bare")])
        swept = world.sweeper(catalog=listing).run(lambda: False)
    assert (1, 0, True) == (swept.listed, swept.first, swept.renewed)


@dataclass
class ListedBefore:
    """A `Catalog` whose list is from before."""

    truth: SecretsManagerCatalog
    listed: list[Described]

    def describe(self, secret_id: str) -> Described:
        return self.truth.describe(secret_id)

    def list(self) -> Iterator[Described]:
        yield from self.listed


@pytest.mark.parametrize("others", [0, 10])
def test_prefixes_count_letters_as_they_are(others: int) -> None:
    """AWS compares names without regard to case and takes ten prefixes: the rest is sorted out here."""
    prefixes = ("prod/", *(f"other{number}/" for number in range(others)))
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        for name in ("prod/a", "PROD/b", "dev/c"):
            client.create_secret(Name=name, SecretString="value")
        listed = SecretsManagerCatalog(client, name_prefixes=prefixes).list()
        assert ["prod/a"] == [one.name for one in listed]


def test_the_catalog_lists_every_page_and_what_is_being_deleted() -> None:
    """More secrets than a page holds, one without a value, one scheduled for deletion."""
    with mock_aws():
        client = boto3.client("secretsmanager", region_name="eu-west-1")
        for number in range(120):
            client.create_secret(Name=f"many/{number:03}", SecretString="value")
        client.create_secret(Name="empty")
        client.delete_secret(SecretId="many/007")
        listed = {one.name: one for one in SecretsManagerCatalog(client).list()}
        assert 121 == len(listed)
        assert ["many/007"] == [name for name, one in listed.items() if one.deleted]
        described = SecretsManagerCatalog(client).describe("many/003")
        assert described == listed["many/003"]
        assert {} == SecretsManagerCatalog(client).describe("empty").stages
