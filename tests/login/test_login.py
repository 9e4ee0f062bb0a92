"""No login fails because a secret rotated, and no wrong password becomes a storm."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from keyturn import ConfigurationError, Limits, LoginRefusedError, Peers, SecretCache, SecretNotFoundError
from keyturn.login import Policy, same_host_and_user
from keyturn.login.refusals import is_refused
from keyturn.model.markers import Marker
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeClock
from tests.login.client import Client, RefusedError, Server
from tests.login.client import is_refused as is_refused_by_server
from tests.testing.processes import eventually
from tests.world import NAME, World


@pytest.fixture(params=[True, False], ids=["table", "no table"])
def client(request: pytest.FixtureRequest) -> Client:
    """A process that logged in with v1, with and without a marker table."""
    world = World()
    world.mark()
    one = Client(world, table=request.param)
    assert "connected with v1" == one.login()
    assert ["v1"] == one.server.tried()
    world.clock.advance(5)
    return one


def test_a_login_with_the_right_password_is_one_attempt(client: Client) -> None:
    """100 logins: 100 attempts, and no read of the secret."""
    reads = client.world.reads
    for _ in range(100):
        client.login()
    assert ["v1"] * 100 == client.server.tried()
    assert reads == client.world.reads


def test_an_async_connect_proves_nothing(world: World) -> None:
    """It is refused, and the version does not count as right: a refusal after it is not waited out."""
    one = Client(world)

    async def connect(_version: SecretVersion) -> None:
        raise AssertionError("nobody runs this")

    logins: tuple[Callable[[], object], ...] = (
        lambda: one.cache.login(NAME, connect),
        one.cache.logs_in(NAME)(connect),
    )
    for login in logins:
        with pytest.raises(ConfigurationError, match=r"connect is async: use AsyncSecretCache\.login"):
            login()
    one.server.accepts = set()
    with pytest.raises(LoginRefusedError):
        one.login()
    assert 0 == one.slept_s


def test_an_async_judge_decides_nothing(client: Client) -> None:
    """A coroutine is true: no outage becomes a refusal by it, and no version is tried that it leaves out."""

    async def never(*_asked: object) -> bool:
        raise AssertionError("nobody runs this")

    def breaks(_version: SecretVersion) -> str:
        raise TimeoutError

    with pytest.raises(ConfigurationError, match="is_refused is async"):
        client.cache.login(NAME, breaks, is_refused=never)  # type: ignore[arg-type] # on purpose
    with pytest.raises(ConfigurationError, match="accept is async"):
        client.login(accept=never)
    assert [] == client.server.tried()
    assert "connected with v1" == client.login()


@pytest.mark.parametrize("is_hidden", [False, True])
def test_an_async_clock_of_the_caller_tells_nothing(client: Client, is_hidden: bool) -> None:  # noqa: FBT001 # a table
    """It is refused before anything is tried, also where only its call shows it."""

    async def remaining_s() -> float:
        raise AssertionError("nobody runs this")

    def hidden() -> object:
        return remaining_s()

    client.server.accepts = set()
    with pytest.raises(ConfigurationError, match="remaining_s is async"):
        client.login(remaining_s=hidden if is_hidden else remaining_s)
    assert [] == client.server.tried()
    assert 0 == client.slept_s


def test_the_window_is_bridged_by_the_pending_version(client: Client) -> None:
    """From setSecret to finishSecret: one refusal, then every login goes straight to AWSPENDING."""
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    client.server.accepts = {"two"}
    assert "connected with v2" == client.login()
    assert ["v1", "v2"] == client.server.tried()
    for _ in range(20):
        client.world.clock.advance(7)
        assert "connected with v2" == client.login()
    assert ["v2"] * 20 == client.server.tried()
    client.world.secrets.move(NAME, "AWSCURRENT", "v2")
    client.world.mark()
    client.world.clock.advance(5)
    client.login()
    assert ["v2"] == client.server.tried()
    assert 0 == client.slept_s


def test_an_announced_set_secret_needs_no_refusal_at_all(world: World) -> None:
    """The marker shows that setSecret has ended: a warm reader tries AWSPENDING first."""
    world.mark()
    one = Client(world)
    one.login()
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    one.server.accepts = {"two"}
    described = world.secrets.describe(NAME)
    marker = Marker(world.key, world.arn, dict(described.stages), step="setSecret")
    world.table.write([(world.table.look(world.key), marker)])
    world.clock.advance(5)
    one.cache.get(NAME)
    one.server.tried()
    assert "connected with v2" == one.login()
    assert ["v2"] == one.server.tried()


def test_a_copy_that_outlived_a_rotation_costs_one_refusal(client: Client) -> None:
    """The rotation is over and nothing told: refused once, read again, logged in."""
    client.world.rotate("v2", "two", mark=False)
    client.server.accepts = {"two"}
    assert "connected with v2" == client.login()
    assert ["v1", "v2"] == client.server.tried()
    assert "two" == client.cache.get_secret_string(NAME)


def test_two_rotations_in_a_row(client: Client) -> None:
    """The copy is two rotations old: still one refusal."""
    client.world.rotate("v2", "two", mark=False)
    client.world.rotate("v3", "three", mark=False)
    client.server.accepts = {"three"}
    assert "connected with v3" == client.login()
    assert ["v1", "v3"] == client.server.tried()


def test_a_rotation_cancelled_after_set_secret(client: Client) -> None:
    """No label names what the server takes, but this process logged in with it: still no failure."""
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    client.server.accepts = {"two"}
    client.login()
    client.world.secrets.move(NAME, "AWSPENDING", None)
    client.server.tried()
    for _ in range(5):
        client.world.clock.advance(60)
        assert "connected with v2" == client.login()
    assert ["v2"] * 5 == client.server.tried()


def test_a_roll_back_is_followed_at_once(client: Client) -> None:
    """Label and server are back at v1: tried as soon as it is seen, long before it is believed."""
    client.world.rotate("v2", "two")
    client.server.accepts = {"two"}
    client.world.clock.advance(5)
    client.login()
    client.world.clock.advance(60)
    client.world.secrets.move(NAME, "AWSCURRENT", "v1")
    client.server.accepts = {"one"}
    client.server.tried()
    assert "connected with v1" == client.login()
    assert ["v2", "v1"] == client.server.tried()
    assert 0 == client.slept_s


def test_a_process_that_starts_in_a_roll_back_logs_in(world: World) -> None:
    """Only the label went back so far: what the server accepts is AWSPREVIOUS, and newer than AWSCURRENT."""
    world.rotate("v2", "two")
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    world.clock.advance(60)
    one = Client(world, server=Server(accepts={"two"}))
    assert "connected with v2" == one.login()
    assert (["v1", "v2"], 0) == (one.server.tried(), one.slept_s)
    one.server.accepts = {"one"}
    assert "connected with v1" == one.login()


def test_the_previous_version_only_by_choice(client: Client) -> None:
    """The server was set back behind Secrets Manager's back: an older AWSPREVIOUS helps who opted in."""
    client.world.rotate("v2", "two")
    client.server.accepts = {"two"}
    client.world.clock.advance(5)
    client.login()
    client.world.clock.advance(120)
    client.server.accepts = {"one"}
    client.server.tried()
    with pytest.raises(LoginRefusedError):
        client.login(budget_s=0)
    assert ["v2"] == client.server.tried()
    client.world.clock.advance(31)
    assert "connected with v1" == client.login(previous=True)
    assert ["v2", "v1"] == client.server.tried()


@pytest.mark.parametrize("jitter", [0.0, 0.4, 0.8, 0.999])
def test_a_copy_that_was_read_a_moment_ago_is_read_again_within_the_budget(jitter: float) -> None:
    """Another look is allowed once a second: 1.2 s are enough for it, whatever the pauses were."""
    world = World()
    one = Client(world, table=False, jitter=jitter)
    one.login()
    world.clock.advance(60)
    one.server.accepts = {"two"}
    with pytest.raises(LoginRefusedError):
        one.login(budget_s=0)
    world.secrets.put(NAME, "two", "v2")
    assert "connected with v2" == one.login(budget_s=1.2)
    assert 1 <= one.slept_s <= 1.2001


def test_managed_rotation_is_waited_for(client: Client) -> None:
    """AWSPENDING cannot be read: wait with pauses that grow until AWSCURRENT moves, without new attempts."""
    client.server.accepts = {"two"}

    def promote() -> None:
        if client.slept_s > 3 and client.world.secrets.describe(NAME).stages["AWSCURRENT"] == "v1":
            client.world.secrets.put(NAME, "two", "v2")

    client.woken = promote  # type: ignore[method-assign]
    assert "connected with v2" == client.login()
    assert ["v1", "v2"] == client.server.tried()
    assert 3 < client.slept_s < 10


def test_waiting_ends_with_the_budget_and_with_the_callers_own_time(client: Client) -> None:
    """The last pause ends with budget_s, and none goes past what the Lambda has left."""
    client.server.accepts = set()
    with pytest.raises(LoginRefusedError):
        client.login(budget_s=5)
    assert pytest.approx(5) == client.slept_s
    slept_s = client.slept_s
    client.world.clock.advance(31)
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    with pytest.raises(LoginRefusedError):
        client.login(remaining_s=lambda: 0.1)
    assert slept_s == client.slept_s


def test_waiting_ends_where_the_clock_stands_still(world: World) -> None:
    """As in a test of a user's that freezes the time, or gives a fake clock and no sleep: pauses count."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) < 100

    cache = SecretCache(peers=Peers(source=world.secrets, clock=world.clock, sleep=sleep))
    with pytest.raises(LoginRefusedError, match=r"after 3\.0 s the login may wait no longer"):
        cache.login(NAME, Server(accepts=set()).connect, is_refused=is_refused_by_server, budget_s=3.0)
    assert 3.0 == pytest.approx(sum(pauses))


def test_a_wrong_password_that_nothing_explains_fails_fast(world: World) -> None:
    """Never right, nothing moving: one attempt, no waiting, an error that says what was tried."""
    one = Client(world, server=Server(accepts=set()))
    with pytest.raises(LoginRefusedError, match=r"version v1 \(AWSCURRENT\): RefusedError") as caught:
        one.login()
    assert isinstance(caught.value.__cause__, RefusedError)
    assert ["v1"] == one.server.tried()
    assert 0 == one.slept_s
    assert "one" not in str(caught.value).replace("version v1", "").split()


def test_a_thousand_callers_with_a_wrong_password_make_three_attempts_a_minute(world: World) -> None:
    """32 threads, 1,000 logins in a minute: per version at most two attempts in 30 s."""
    one = Client(world, server=Server(accepts=set()))
    lock = threading.Lock()

    def ask(number: int) -> None:
        with lock:
            world.clock.advance(0.06)
        with pytest.raises(LoginRefusedError):
            one.login()

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(1000)))
    assert 2 <= len(one.server.tried()) <= 4


def test_a_thousand_callers_cold_with_a_right_password_are_not_serialised(world: World) -> None:
    """Only the first login proves the version; the others then connect side by side."""
    together = threading.Barrier(8)
    first = threading.Event()
    one = Client(world)

    def connect(version: SecretVersion) -> str:
        if first.is_set():
            together.wait(20)
        first.set()
        return version.version_id

    def login(_: int) -> str:
        return one.cache.login(NAME, connect, is_refused=lambda error: False)

    with ThreadPoolExecutor(9) as pool:
        assert ["v1"] * 9 == list(pool.map(login, range(9)))


def test_only_a_refusal_moves_on(client: Client) -> None:
    """A time-out is raised as it is, and no other version is tried."""
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")

    def connect(version: SecretVersion) -> str:
        client.server.attempts.append(version.version_id)
        raise TimeoutError("no route")

    with pytest.raises(TimeoutError):
        client.cache.login(NAME, connect, is_refused=lambda error: isinstance(error, RefusedError))
    assert ["v1"] == client.server.tried()


def test_another_host_is_never_tried(world: World) -> None:
    """A pending version that names another host (or by policy another user) is left alone."""
    world.secrets.put(NAME, '{"host": "a", "username": "u"}', "v2")
    world.secrets.put(NAME, '{"host": "b", "username": "u"}', "v3", "AWSPENDING")
    one = Client(world, server=Server(accepts=set()))
    with pytest.raises(LoginRefusedError):
        one.login(budget_s=0)
    assert ["v2"] == one.server.tried()
    world.clock.advance(40)
    world.secrets.put(NAME, '{"host": "a", "username": "u_clone"}', "v4", "AWSPENDING")
    with pytest.raises(LoginRefusedError):
        one.login(accept=same_host_and_user, budget_s=0)
    assert ["v2"] == one.server.tried()
    one.server.accepts = {'{"host": "a", "username": "u_clone"}'}
    world.clock.advance(40)
    assert "connected with v4" == one.login()


def test_attempts_are_bounded_by_the_labels(client: Client) -> None:
    """Everything refused: each labelled version once, and the last one logged in with."""
    world = client.world
    world.rotate("v2", "two", mark=False)
    world.secrets.put(NAME, "three", "v3", "AWSPENDING")
    client.server.accepts = set()
    with pytest.raises(LoginRefusedError):
        client.login(previous=True, budget_s=0)
    assert ["v1", "v2", "v3"] == client.server.tried()


def test_a_secret_that_is_not_there_is_told_as_ever(client: Client) -> None:
    """Without a version there is nothing to log in with."""
    with pytest.raises(SecretNotFoundError):
        client.cache.login("prod/typo", client.server.connect, is_refused=lambda error: True)


def test_forgetting_and_forking_leave_logins_working(client: Client) -> None:
    """After a SnapStart restore and in a forked child the memory of logins is empty or unlocked."""
    client.cache.forget()
    client.cache.after_fork()
    assert "connected with v1" == client.login()
    assert isinstance(client.world.clock, FakeClock)


def test_attempts_for_code_that_cannot_pass_a_callable(client: Client) -> None:
    """The loop ends with the first success; refusals inside the block are not raised."""
    client.world.rotate("v2", "two", mark=False)
    client.server.accepts = {"two"}
    connected = []
    for attempt in client.cache.login_attempts(NAME, is_refused=lambda e: isinstance(e, RefusedError)):
        with attempt as version:
            connected.append(client.server.connect(version))
    assert ["connected with v2"] == connected
    assert ["v1", "v2"] == client.server.tried()


def test_attempts_that_are_abandoned_hold_nothing_up(world: World) -> None:
    """Whoever leaves the loop, by break or by an error, does not keep others from trying."""
    one = Client(world)
    for _ in one.cache.login_attempts(NAME, is_refused=lambda error: False):
        break

    def time_out(version: SecretVersion) -> str:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        one.cache.login(NAME, time_out, is_refused=lambda error: False)
    assert "connected with v1" == one.login()


def test_a_decorated_function_is_called_with_the_version(client: Client) -> None:
    """`logs_in` puts the accepted version before the caller's own arguments."""
    client.world.rotate("v2", "two", mark=False)
    client.server.accepts = {"two"}

    @client.cache.logs_in(NAME, is_refused=lambda error: isinstance(error, RefusedError))
    def connect(version: SecretVersion, database: str, *, read_only: bool) -> tuple[str, str, bool]:
        return client.server.connect(version), database, read_only

    assert ("connected with v2", "orders", True) == connect("orders", read_only=True)
    assert "connect" == connect.__name__


def test_attempts_of_one_thread_do_not_wait_for_each_other(world: World) -> None:
    """Two logins that one thread has in progress, as tasks of an event loop are, both come to an end."""
    one = Client(world)
    connected: list[str] = []

    def log_in(nested: int) -> None:
        for attempt in one.cache.login_attempts(NAME, is_refused=lambda error: True):
            with attempt as version:
                if nested:
                    log_in(nested - 1)
                connected.append(one.server.connect(version))

    thread = threading.Thread(target=log_in, args=(1,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert ["connected with v1"] * 2 == connected


def test_a_storm_of_refused_logins_reads_each_stage_once(world: World) -> None:
    """32 callers refused at once: one forced read, and one of AWSPENDING, not one per caller."""
    one = Client(world, server=Server(accepts=set()))
    with pytest.raises(LoginRefusedError):
        one.login(budget_s=0)
    reads = world.reads
    for _ in range(32):
        with pytest.raises(LoginRefusedError):
            one.login(budget_s=0)
    assert world.reads - reads <= 2


def test_a_server_that_changes_between_two_tries_is_tried_again(world: World) -> None:
    """A roll-back crosses a cold login: each version is refused at its moment, the second try succeeds."""
    world.rotate("v2", "two")
    world.clock.advance(60)
    world.secrets.move(NAME, "AWSCURRENT", "v1")
    one = Client(world, server=Server(accepts={"two"}))
    connect = one.server.connect

    def crossing(version: SecretVersion) -> str:
        try:
            return connect(version)
        finally:
            one.server.accepts = {"one"}

    one.server.connect = crossing  # type: ignore[method-assign]
    assert "connected with v1" == one.login(previous=True)
    assert ["v1", "v2", "v1"] == one.server.tried()
    assert 6 <= one.slept_s <= 10


def test_two_wrong_passwords_are_waited_for_once(world: World) -> None:
    """When both had their second try, the next callers fail at once."""
    world.rotate("v2", "two")
    one = Client(world, server=Server(accepts=set()))
    for _ in range(5):
        with pytest.raises(LoginRefusedError):
            one.login(previous=True)
    assert 4 == len(one.server.tried())
    assert one.slept_s <= 10


def test_a_label_that_moves_between_two_reads_is_looked_for_again(world: World) -> None:
    """A roll-back crosses a cold login: AWSPREVIOUS is what AWSCURRENT was a moment ago, so look again."""
    world.rotate("v2", "two")
    world.clock.advance(60)
    one = Client(world, server=Server(accepts={"one"}))
    read = world.secrets.read

    def crossing(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        if stage == "AWSPREVIOUS":
            world.secrets.move(NAME, "AWSCURRENT", "v1")
        return read(secret_id, stage=stage, version_id=version_id)

    world.secrets.read = crossing  # type: ignore[method-assign]
    assert "connected with v1" == one.login(previous=True)
    assert ["v2", "v1"] == one.server.tried()
    assert one.slept_s < 4


def test_the_memory_of_logins_is_bounded(world: World) -> None:
    """More secrets than fit: no more versions are remembered than are held, and every login works."""
    for number in range(9):
        world.secrets.create(f"many/{number}", "one")
    cache = SecretCache(
        limits=Limits(max_secrets=3),
        peers=Peers(source=world.secrets, clock=world.clock, sleep=world.clock.advance),
    )
    server = Server()
    for number in range(9):
        cache.login(f"many/{number}", server.connect, is_refused=lambda error: False)
    gc.collect()
    remembered = {one.name for one in gc.get_objects() if type(one) is SecretVersion}
    assert len([name for name in remembered if name.startswith("many/")]) <= 6


def test_an_attempt_that_is_passed_over_counts_for_nothing(client: Client) -> None:
    """A loop that does not enter an attempt neither refuses nor proves that version; the next one follows."""
    client.world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    client.server.accepts = {"one", "two"}
    offered = []
    for number, attempt in enumerate(client.cache.login_attempts(NAME, is_refused=lambda error: False)):
        offered.append(attempt.version.version_id)
        if number == 1:
            with attempt as version:
                client.server.connect(version)
    assert ["v1", "v2"] == offered
    assert "connected with v2" == client.login()
    client.cache.forget()
    assert "connected with v1" == client.login()


def test_a_login_goes_on_when_its_secret_was_evicted(world: World) -> None:
    """More secrets than fit, read by other callers meanwhile: the refusal still leads to the next version."""
    world.secrets.create("other", "o")
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    server = Server(accepts={"two"})
    cache = SecretCache(
        limits=Limits(max_secrets=1),
        peers=Peers(source=world.secrets, clock=world.clock, sleep=world.clock.advance),
    )

    def connect(version: SecretVersion) -> str:
        cache.get("other")
        return server.connect(version)

    for _ in range(2):
        assert "connected with v2" == cache.login(
            NAME, connect, is_refused=lambda error: isinstance(error, RefusedError)
        )
    assert ["v1", "v2", "v2"] == server.tried()


def functions_running() -> set[str]:
    """What each thread is in just now, and what called that."""
    innermost = sys._current_frames().values()  # noqa: SLF001 # documented
    return {frame.f_code.co_name for one in innermost for frame, _ in traceback.walk_stack(one)}


def test_who_waited_for_a_proof_connects_beside_the_others(world: World) -> None:
    """A thread that waited while the version was first tried goes on as soon as that has succeeded."""
    one = Client(world)
    proving, waited = threading.Event(), threading.Event()

    def prove(version: SecretVersion) -> str:
        proving.set()
        assert waited.wait(20)
        return one.server.connect(version)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.cache.login, NAME, prove, is_refused=lambda error: False)
        assert proving.wait(20)
        second = pool.submit(one.login)
        assert eventually(lambda: "await_end" in functions_running())
        waited.set()
        assert ["connected with v1"] * 2 == [first.result(20), second.result(20)]
    assert ["v1", "v1"] == one.server.tried()


@pytest.mark.parametrize("stage", ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"])
def test_a_refused_login_waits_for_what_another_thread_reads(world: World, stage: str) -> None:
    """Another thread is about to learn of the version: its answer is tried instead of giving up."""
    one = Client(world, server=Server(accepts={"two"}), table=False)
    if stage != "AWSCURRENT":
        world.secrets.put(NAME, "old", "v0", stage)
    for known in ("AWSCURRENT", stage):
        one.cache.get(NAME, stage=known)
    world.clock.advance(60)
    world.secrets.put(NAME, "two", "v2", stage)
    one.cache.invalidate(NAME)
    reading, answered = threading.Event(), threading.Event()
    read = world.secrets.read

    def held_up(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        if stage == held_up_stage:
            reading.set()
            assert answered.wait(20)
        return read(secret_id, stage=stage, version_id=version_id)

    held_up_stage, world.secrets.read = stage, held_up  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.cache.get_secret_string, NAME, stage=stage)
        assert reading.wait(20)
        login = pool.submit(one.login, budget_s=0, previous=True)
        assert eventually(lambda: login.done() or "_await_flight" in functions_running())
        answered.set()
        assert ("two", "connected with v2") == (first.result(20), login.result(20))
    assert ["v1", "v2"] == one.server.tried()


def test_a_login_inside_another_is_no_refusal_of_the_outer_one(world: World) -> None:
    """A tunnel's login is refused: the outer secret is not called refused, whatever `is_refused` says."""
    world.secrets.create("tunnel", "wrong")
    one = Client(world)

    def connect(version: SecretVersion) -> str:
        def refuse(inner: SecretVersion) -> str:
            raise RefusedError

        return one.cache.login("tunnel", refuse, is_refused=lambda _: True, budget_s=0)

    for _ in range(2):
        with pytest.raises(LoginRefusedError, match="secret 'tunnel'"):
            one.cache.login(NAME, connect, is_refused=lambda _: True, budget_s=0)
    assert "connected with v1" == one.login()
    assert ["v1"] == one.server.tried()


def test_what_is_refused_has_a_default() -> None:
    """A policy without a judge takes the table of `keyturn.refusals`."""
    assert Policy().is_refused is is_refused
