"""Each metric is recorded when its meaning says so, and at no other time."""

from __future__ import annotations

import pytest

from keyturn import (
    AccessDeniedError,
    LoginRefusedError,
    MarkerTableError,
    Metric,
    ParameterNotFoundError,
    ParameterUnavailableError,
    SecretNotFoundError,
    StageNotFoundError,
    UnavailableError,
)
from keyturn.metrics.outbox import Measurement
from keyturn.model.markers import Marker, MarkersRead
from keyturn.model.versions import SecretVersion
from tests.metrics.conftest import Measured
from tests.world import NAME

CHECKS = (Metric.CHECK_S, Metric.CHECKS_FAILED, Metric.SWEPT_AGE_S)
READS = (Metric.READ_S, Metric.READS_FAILED)


# Checks


def both(error: str, duration: Metric, failure: Metric) -> list[Measurement]:
    """What a failure is told as: its duration and itself, each with the class of the error."""
    return [Measurement(duration, 0, error=error), Measurement(failure, 1, error=error)]


def test_a_good_check_tells_its_duration_and_the_heads_age(measured: Measured) -> None:
    """One check: how long it took, and how far the sweep was behind by the table's clock."""
    measured.warm()
    measured.world.table.sweep(measured.world.clock.wall_s - 415)
    read_markers, clock = measured.world.table.read_markers, measured.world.clock

    def slow(keys: frozenset[str]) -> MarkersRead:
        clock.advance(0.25)
        return read_markers(keys)

    measured.world.table.read_markers = slow  # type: ignore[method-assign, assignment] # slower
    # Twice, so that the marker must be read.
    measured.world.mark(sweep=False)
    measured.world.mark(sweep=False)
    measured.after(5).get(NAME)
    assert [Measurement(Metric.CHECK_S, 0.25), Measurement(Metric.SWEPT_AGE_S, 420)] == measured.told(*CHECKS)


def test_nothing_is_told_between_two_checks(measured: Measured) -> None:
    """Within the check interval neither hits nor gets of what is not there make a check."""
    measured.warm()
    measured.after(4).get(NAME)
    with pytest.raises(SecretNotFoundError):
        measured.cache.get("prod/other")
    assert [] == measured.told(*CHECKS)


def test_a_check_that_fails_tells_so_and_no_age(measured: Measured) -> None:
    """No answer: a duration and a failure; then the table rests, and a check that is not made is not told."""
    measured.world.random = 1.0
    measured.warm()
    measured.world.table.fail = lambda: MarkerTableError("markers", "throttled")
    for _ in range(3):
        measured.after(5 / 3).get(NAME)
    assert both("MarkerTableError", Metric.CHECK_S, Metric.CHECKS_FAILED) == measured.told(*CHECKS)


def test_a_table_without_a_head_is_a_failed_check(measured: Measured) -> None:
    """The listener never ran: the check was answered, and is trouble all the same."""
    measured.cache.get(NAME)
    measured.after(5).get(NAME)
    assert both("MarkerTableError", Metric.CHECK_S, Metric.CHECKS_FAILED) == measured.told(*CHECKS)


def test_a_head_that_was_never_swept_has_no_age(measured: Measured) -> None:
    """A good check of a table without a sweep: its duration alone."""
    measured.world.mark(sweep=False)
    measured.cache.get(NAME)
    measured.after(5).get(NAME)
    assert [Metric.CHECK_S] == [one.metric for one in measured.told(*CHECKS)]


def test_a_table_at_rest_is_not_checked(measured: Measured) -> None:
    """After a failure the table is asked ever less often: only what was asked is told."""
    measured.warm()
    measured.world.random = 1.0
    measured.world.table.fail = lambda: MarkerTableError("markers", "throttled")
    heads = measured.world.table.calls["head"]
    for _ in range(20):
        measured.after(5).get(NAME)
    asked = measured.world.table.calls["head"] - heads
    assert 1 < asked < 10
    assert [asked, asked] == [len(measured.hook.of(one)) for one in (Metric.CHECK_S, Metric.CHECKS_FAILED)]


# Reads


def test_a_read_tells_its_duration_and_the_secrets_own_name(measured: Measured) -> None:
    """A cold read by ARN: one duration, under the name in the answer."""
    world = measured.world
    read = world.secrets.read

    def slow(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        world.clock.advance(0.125)
        return read(secret_id, stage=stage, version_id=version_id)

    world.secrets.read = slow  # type: ignore[method-assign] # slower
    measured.cache.get(world.arn)
    measured.cache.get(world.arn)
    assert [Measurement(Metric.READ_S, 0.125, NAME)] == measured.told()


def test_a_failed_read_is_told_twice(measured: Measured) -> None:
    """As a duration and as a failure; a name that nobody has confirmed is not passed on."""
    measured.world.secrets.fail = UnavailableError
    with pytest.raises(UnavailableError):
        measured.cache.get(NAME)
    assert both("UnavailableError", Metric.READ_S, Metric.READS_FAILED) == measured.told()


def test_that_there_is_none_is_an_answer(measured: Measured) -> None:
    """An unknown secret and a missing label are reads, not failures."""
    with pytest.raises(SecretNotFoundError):
        measured.cache.get("prod/other")
    with pytest.raises(StageNotFoundError):
        measured.cache.get(NAME, stage="AWSPENDING")
    assert [Metric.READ_S] * 2 == [one.metric for one in measured.told()]


def test_a_batch_of_parameters_is_one_read(measured: Measured) -> None:
    """Eleven parameters are two requests; a path is one, whatever its pages; a failure is told as one."""
    names = [f"/prod/{number}" for number in range(11)]
    for name in names:
        measured.parameters.put(name, "x")
    measured.cache.get_parameters(names)
    assert [Measurement(Metric.READ_S, 0)] * 2 == measured.told()
    measured.cache.get_parameters_by_path("/prod")
    assert [Measurement(Metric.READ_S, 0)] == measured.told()
    measured.parameters.fail = lambda name: ParameterUnavailableError(name, "throttled")
    failed = both("ParameterUnavailableError", Metric.READ_S, Metric.READS_FAILED)
    with pytest.raises(ParameterUnavailableError):
        measured.cache.get_parameters(["/other"])
    assert failed == measured.told()
    with pytest.raises(ParameterUnavailableError):
        measured.cache.get_parameters_by_path("/other")
    assert failed == measured.told()


def test_a_single_parameter_is_told_by_its_name(measured: Measured) -> None:
    """`get_parameter` is told as a secret is, and one that is not there is an answer."""
    measured.parameters.put("/prod/host", "x")
    measured.cache.get_parameter("/prod/host")
    with pytest.raises(ParameterNotFoundError):
        measured.cache.get_parameter("/prod/none")
    assert [Measurement(Metric.READ_S, 0, "/prod/host"), Measurement(Metric.READ_S, 0)] == measured.told()


# Invalidations


def test_a_marker_that_moved_invalidates_once(measured: Measured) -> None:
    """A rotation is one invalidation, however long the secret is not asked for after the check."""
    measured.warm()
    measured.world.secrets.create("prod/api", "key")
    measured.cache.get("prod/api")
    measured.world.rotate("v2", "two")
    for _ in range(3):
        measured.after(5).get("prod/api")
    assert [Measurement(Metric.INVALIDATIONS, 1, NAME)] == measured.told(Metric.INVALIDATIONS)
    measured.cache.get(NAME)
    measured.after(5).get(NAME)
    assert [] == measured.told(Metric.INVALIDATIONS)


def test_a_marker_that_changes_nothing_held_invalidates_nothing(measured: Measured) -> None:
    """A pending version, a marker that is written for the first time, and one of a secret not held."""
    measured.cache.get(NAME)
    measured.world.mark()
    measured.after(5).get(NAME)
    measured.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    measured.world.mark()
    measured.after(5).get(NAME)
    measured.world.table.set("other", "other", {"AWSCURRENT": "v9"})
    measured.after(5).get(NAME)
    assert [] == measured.told(Metric.INVALIDATIONS)


def test_an_old_event_of_a_parameter_invalidates_nothing(measured: Measured) -> None:
    """The marker that a fresh reader finds was written weeks before its read."""
    measured.parameters.put("/prod/host", "x")
    arn, now_s = measured.parameters.arn("/prod/host"), measured.world.clock.wall_s
    told = Marker(arn, arn, {}, token="event-1", changed_at_s=now_s)
    measured.world.table.write([(measured.world.table.look(arn), told)])
    measured.after(1_000_000).get_parameter("/prod/host")
    measured.after(5).get_parameter("/prod/host")
    assert [] == measured.told(Metric.INVALIDATIONS)


def test_a_call_of_invalidate_counts_if_the_secret_is_held(measured: Measured) -> None:
    """By name or ARN, once; not for a secret that is not held."""
    measured.warm()
    measured.cache.invalidate(measured.world.arn)
    measured.cache.invalidate("prod/other")
    assert [Measurement(Metric.INVALIDATIONS, 1, NAME)] == measured.told()


# From the event to the first use


def test_the_lag_is_from_the_marker_to_the_first_use(measured: Measured) -> None:
    """Busy: the marker moves 2 s after a check and is found 3 s later; told once, within a second's cut."""
    measured.warm()
    measured.after(2)
    measured.world.rotate("v2", "two")
    measured.after(2).get(NAME)
    assert "v2" == measured.cache.get(NAME).version_id
    (lag,) = measured.told(Metric.LAG_S)
    assert (Metric.LAG_S, NAME) == (lag.metric, lag.secret)
    assert 1.0 <= lag.value <= 2.0
    for _ in range(10):
        measured.after(5).get(NAME)
    assert [] == measured.told(Metric.LAG_S)


def test_the_lag_counts_while_the_service_fails(measured: Measured) -> None:
    """The new version cannot be read for 100 s: it is served that much later, and the lag says so."""
    measured.warm()
    measured.world.rotate("v2", "two")
    measured.world.secrets.fail = UnavailableError
    measured.world.pass_time(measured.cache, 100)
    assert [] == measured.told(Metric.LAG_S)
    measured.world.secrets.fail = lambda _: None
    measured.after(5).get(NAME)
    (lag,) = measured.told(Metric.LAG_S)
    assert 104 <= lag.value <= 105


def test_the_readers_own_clock_does_not_count(measured: Measured) -> None:
    """A wall clock that is an hour off (the table's is not) changes nothing about the lag."""
    world = measured.world
    read_head = world.table.read_head

    def of_its_own_clock(*, consistent: bool = False, copy: int = 0) -> object:
        head = read_head(consistent=consistent, copy=copy)
        assert head is not None
        return head._replace(answered_at_s=float(int(world.clock.wall_s - 3600)))

    world.table.read_head = of_its_own_clock  # type: ignore[method-assign, assignment]
    measured.warm()
    world.rotate("v2", "two", mark=False)
    described = world.secrets.describe(NAME)
    marker = Marker(world.key, world.arn, described.stages, changed_at_s=world.clock.wall_s - 3600)
    world.table.write([(world.table.look(world.key), marker)])
    measured.after(4).get(NAME)
    (lag,) = measured.told(Metric.LAG_S)
    assert 3.0 <= lag.value <= 4.0


def test_an_idle_process_is_not_late(measured: Measured) -> None:
    """Nobody asked for an hour in which the secret rotated: what it took from the first call on counts."""
    measured.warm()
    measured.after(600)
    measured.world.rotate("v2", "two")
    measured.world.clock.freeze(3000)
    assert "v2" == measured.cache.get(NAME).version_id
    assert [Measurement(Metric.LAG_S, 0, NAME)] == measured.told(Metric.LAG_S)


def test_what_no_marker_brought_has_no_lag(measured: Measured) -> None:
    """A cold start, a copy that grew old, a forced read before the marker: none is told of as late."""
    measured.world.mark()
    measured.cache.get(NAME)
    measured.world.rotate("v2", "two", mark=False)
    measured.cache.invalidate(NAME)
    assert "v2" == measured.after(5).get(NAME).version_id
    measured.world.mark()
    measured.after(5).get(NAME)
    assert [] == measured.told(Metric.LAG_S)


def test_another_version_than_the_markers_has_no_lag(measured: Measured) -> None:
    """The marker tells of v2, and by the time of the read it is v3: that one's marker is still to come."""
    measured.warm()
    measured.world.rotate("v2", "two")
    measured.world.rotate("v3", "three", mark=False)
    assert "v3" == measured.after(5).get(NAME).version_id
    assert [Metric.INVALIDATIONS] == [one.metric for one in measured.told(Metric.LAG_S, Metric.INVALIDATIONS)]


@pytest.mark.parametrize("changed_at_s", [0.0, 1e12])
def test_a_marker_of_an_impossible_time_makes_no_impossible_lag(
    measured: Measured, changed_at_s: float
) -> None:
    """Without its time a marker has no lag; from the future, by a forger or a wrong clock, none to add."""
    world = measured.world
    measured.warm()
    world.rotate("v2", "two", mark=False)
    stages = world.secrets.describe(NAME).stages
    marker = Marker(world.key, world.arn, stages, changed_at_s=changed_at_s)
    world.table.write([(world.table.look(world.key), marker)])
    assert "v2" == measured.after(5).get(NAME).version_id
    assert ([0.0] if changed_at_s else []) == [one.value for one in measured.told(Metric.LAG_S)]


def test_a_parameters_event_has_a_lag(measured: Measured) -> None:
    """Its marker names no version; the new one came because of it all the same."""
    world = measured.world
    measured.parameters.put("/prod/host", "x")
    measured.cache.get_parameter("/prod/host")
    world.table.sweep()
    measured.after(5).get_parameter("/prod/host")
    measured.parameters.put("/prod/host", "y")
    arn = measured.parameters.arn("/prod/host")
    marker = Marker(arn, arn, {}, token="event-1", changed_at_s=world.clock.wall_s)
    world.table.write([(world.table.look(arn), marker)])
    assert "y" == measured.after(5).get_parameter("/prod/host").value
    told = measured.told(Metric.LAG_S, Metric.INVALIDATIONS)
    assert [(Metric.INVALIDATIONS, "/prod/host"), (Metric.LAG_S, "/prod/host")] == [
        (one.metric, one.secret) for one in told
    ]


def test_an_event_that_was_over_brings_nothing(measured: Measured) -> None:
    """A parameter that changes, untold, after the event of its marker was settled: no lag is made of that."""
    world = measured.world
    measured.parameters.put("/prod/host", "x")
    arn = measured.parameters.arn("/prod/host")
    marker = Marker(arn, arn, {}, token="event-1", changed_at_s=world.clock.wall_s)
    world.table.write([(world.table.look(arn), marker)])
    measured.after(1000).get_parameter("/prod/host")
    measured.after(5).get_parameter("/prod/host")
    measured.parameters.put("/prod/host", "y")
    assert "y" == measured.after(300).get_parameter("/prod/host").value
    assert [] == measured.told(Metric.LAG_S)


# A known version despite a failure


@pytest.mark.parametrize("error", [UnavailableError, AccessDeniedError])
def test_each_refresh_that_fails_is_told_not_each_get(
    measured: Measured, error: type[UnavailableError | AccessDeniedError]
) -> None:
    """100 gets of a copy that cannot be refreshed: as many as there were tries."""
    measured.warm()
    measured.world.random = 1.0
    measured.world.secrets.fail = error
    measured.cache.invalidate(NAME)
    reads = measured.world.reads
    for _ in range(100):
        measured.after(0.1).get(NAME)
    stale = measured.told(Metric.STALE_SERVED)
    failed = Measurement(Metric.STALE_SERVED, 1, NAME, error=error.__name__)
    assert [failed] * (measured.world.reads - reads) == stale
    assert 0 < len(stale) < 100


def test_what_is_not_served_is_not_stale(measured: Measured) -> None:
    """Denied for longer than `max_denied_s`: the error reaches the caller."""
    measured.warm()
    measured.world.secrets.fail = AccessDeniedError
    measured.cache.invalidate(NAME)
    measured.cache.get(NAME)
    measured.told()
    with pytest.raises(AccessDeniedError):
        measured.after(301).get(NAME)
    assert [] == measured.told(Metric.STALE_SERVED)


# Logins


def test_a_login_that_is_accepted_at_once_tells_nothing(measured: Measured) -> None:
    """The usual login is not counted: there may be as many as there are requests."""
    measured.warm()
    for _ in range(100):
        measured.login()
    assert [] == measured.told()


def test_a_pending_version_is_a_bridge(measured: Measured) -> None:
    """In the window: one refusal and a bridge, then a bridge each; afterwards nothing."""
    measured.warm()
    measured.login()
    measured.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    measured.accepts = {"two"}
    logins = (Metric.REFUSALS, Metric.BRIDGES, Metric.LOGINS_FAILED)
    bridge = Measurement(Metric.BRIDGES, 1, NAME, "AWSPENDING")
    assert "v2" == measured.login()
    refused = Measurement(Metric.REFUSALS, 1, NAME, error="RefusedError")
    assert [refused, bridge] == measured.told(*logins)
    assert "v2" == measured.login()
    assert [bridge] == measured.told(*logins)
    measured.world.secrets.move(NAME, "AWSCURRENT", "v2")
    measured.world.mark()
    measured.after(5).get(NAME)
    assert "v2" == measured.login()
    assert [] == measured.told(*logins)


@pytest.mark.parametrize("stage", ["AWSCURRENT", "AWSPREVIOUS"])
def test_a_bridge_says_which_label_it_was(measured: Measured, stage: str) -> None:
    """AWSCURRENT as read anew where no marker told of it, or AWSPREVIOUS by choice."""
    measured.warm()
    if stage == "AWSCURRENT":
        measured.world.rotate("v2", "two", mark=False)
        measured.accepts = {"two"}
    else:
        measured.world.rotate("v2", "two")
        measured.after(5).get(NAME)
    measured.login(previous=True)
    assert [stage] == [one.stage for one in measured.told(Metric.BRIDGES)]


def test_a_login_that_fails_is_told_before_its_error(measured: Measured) -> None:
    """A wrong password: what was refused, and that the login failed."""
    measured.warm()
    measured.accepts = set()
    with pytest.raises(LoginRefusedError):
        measured.login(budget_s=0)
    told = measured.told(Metric.REFUSALS, Metric.LOGINS_FAILED)
    refused = Measurement(Metric.REFUSALS, 1, NAME, error="RefusedError")
    assert [refused, Measurement(Metric.LOGINS_FAILED, 1, NAME, error="LoginRefusedError")] == told


def test_attempts_tell_as_they_end(measured: Measured) -> None:
    """Who drives the attempts and leaves at the first success, keeping the iterator, has told by then."""
    measured.warm()
    measured.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    measured.accepts = {"two"}
    attempts = measured.cache.login_attempts(NAME, is_refused=lambda _: True)
    for attempt in attempts:
        with attempt as version:
            measured.connect(version)
        if attempt.has_succeeded:
            break
    assert [Metric.REFUSALS, Metric.BRIDGES] == [
        one.metric for one in measured.told(Metric.REFUSALS, Metric.BRIDGES)
    ]


def test_a_login_that_fails_otherwise_is_not_told(measured: Measured) -> None:
    """A time-out is no refusal and no failed login of ours."""
    measured.warm()

    def late(version: SecretVersion) -> str:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        measured.cache.login(NAME, late, is_refused=lambda error: not isinstance(error, TimeoutError))
    assert [] == measured.told()
