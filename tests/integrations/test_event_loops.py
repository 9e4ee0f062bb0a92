"""Logins on an event loop: cancelled at any point they leave nothing, and the loop never waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import psycopg
import pytest

from keyturn import LoginRefusedError, Peers, SecretCache, SecretVersion, UnavailableError
from keyturn.integrations.login import Login, Opened
from keyturn.integrations.psycopg import async_connection_class, async_retire_superseded
from keyturn.metrics.hook import Metric
from keyturn.testing.fakes import FakeSecretsManager
from tests.integrations.conftest import Account
from tests.testing.processes import eventually

PATIENCE_S = 20

WHO: ContextVar[str] = ContextVar("who")


class RefusedError(Exception):
    """Known to the table by its status."""

    status = 401


@pytest.fixture
def account() -> Account:
    """An account of no server."""
    return Account({"username": "app", "host": "db.internal", "port": 5432})


class Gate:
    """Where the reads of an account wait until it is opened."""

    def __init__(self, account: Account) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._read = account.secrets.read
        account.secrets.read = self.read  # type: ignore[method-assign]

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)
        return self._read(secret_id, stage=stage, version_id=version_id)


def login_threads() -> list[threading.Thread]:
    """The threads that take steps of logins now."""
    return [one for one in threading.enumerate() if one.name.startswith("keyturn-")]


def logged_in(account: Account) -> str:
    """A login by a thread, after whatever was before: it must not wait."""
    with ThreadPoolExecutor(1) as pool:
        connect: Callable[[SecretVersion], str] = lambda version: version.version_id  # noqa: E731
        return pool.submit(account.login, connect).result(PATIENCE_S)


async def connected(version: SecretVersion) -> str:
    """A server that takes any password."""
    return version.version_id


def test_cancelled_while_its_thread_reads(account: Account) -> None:
    """The task ends at once; when the read ends, its thread ends, and no turn is left."""
    gate = Gate(account)

    async def run() -> None:
        task = asyncio.create_task(account.login.awaiting(connected))
        assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    gate.opened.set()
    assert eventually(lambda: not login_threads())
    assert "v1" == logged_in(account)


def test_cancelled_and_the_loop_stopped_but_not_closed(account: Account) -> None:
    """Nobody runs the loop any more: the thread does not wait for it, and later logins go on."""
    gate, loop = Gate(account), asyncio.new_event_loop()
    task = loop.create_task(account.login.awaiting(connected))
    while not gate.reached.is_set():
        loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    gate.opened.set()
    assert eventually(lambda: not login_threads())
    assert "v1" == logged_in(account)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_the_loop_closed_while_a_thread_reads(account: Account) -> None:
    """The thread ends, and what it has read leads to nothing."""
    gate, loop = Gate(account), asyncio.new_event_loop()
    task = loop.create_task(account.login.awaiting(connected))
    while not gate.reached.is_set():
        loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    gate.opened.set()
    assert eventually(lambda: not login_threads())
    assert "v1" == logged_in(account)


@pytest.mark.proof
def test_cancelled_while_it_waits_for_another_threads_turn(account: Account) -> None:
    """The attempt of a thread hangs: the task that waits for its outcome is cancelled, its thread ends."""
    login = Login(account.cache, "app/db", budget_s=3600)
    begun, answers = threading.Event(), threading.Event()

    def hang(version: SecretVersion) -> str:
        begun.set()
        assert answers.wait(PATIENCE_S)
        return version.version_id

    async def run() -> None:
        task = asyncio.create_task(login.awaiting(connected))
        assert await asyncio.to_thread(eventually, lambda: bool(login_threads()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert eventually(lambda: not login_threads())

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(login, hang)
        assert begun.wait(PATIENCE_S)
        try:
            asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
            assert not hanging.done()
        finally:
            answers.set()


def test_cancelled_in_a_pause(account: Account) -> None:
    """A login that waits for a rotation under way stops waiting, and looks no more."""
    paused, looks = threading.Event(), list[str]()

    def sleep(seconds: float) -> None:
        paused.set()
        assert seconds <= 0.25

    cache = SecretCache(peers=Peers(source=account.secrets, clock=account.clock, sleep=sleep))
    login = Login(cache, "app/db", budget_s=3600)
    login(lambda version: version.version_id)

    async def refuse(version: SecretVersion) -> str:
        looks.append(version.version_id)
        raise RefusedError

    async def run() -> None:
        task = asyncio.create_task(login.awaiting(refuse))
        assert await asyncio.to_thread(paused.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert eventually(lambda: not login_threads())
    assert ["v1"] == looks


def test_cancelled_in_an_attempt(account: Account) -> None:
    """connect is cancelled with its caller, in the same task; the next login waits for nobody."""
    ended = list[str]()

    async def run() -> None:
        begun = asyncio.Event()

        async def connect(version: SecretVersion) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(version.version_id)
            return "never"

        before = asyncio.all_tasks()
        task = asyncio.create_task(account.login.awaiting(connect))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert before == asyncio.all_tasks()

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert ["v1"] == ended
    assert "v1" == logged_in(account)


def test_an_attempt_runs_in_the_context_of_its_caller(account: Account) -> None:
    """Context variables of the caller are there in connect and in the reads, and what connect sets stays."""
    account.store("two", "v2", "AWSPENDING")
    seen = list[str]()
    account.secrets.fail = lambda _: seen.append(WHO.get("nobody"))

    async def connect(version: SecretVersion) -> str:
        seen.append(WHO.get("nobody"))
        WHO.set(version.version_id)
        if version.version_id == "v1":
            raise RefusedError
        return version.version_id

    async def run() -> str:
        WHO.set("caller")
        await account.login.awaiting(connect)
        return WHO.get()

    assert "v2" == asyncio.run(run())
    assert "nobody" not in seen
    assert len(seen) >= 4


def test_twelve_tasks_prove_a_version_once(account: Account) -> None:
    """Tasks of one loop take turns as threads do: an unproven password is tried by one of them."""
    login, tried = Login(account.cache, "app/db"), list[str]()

    async def refuse(version: SecretVersion) -> str:
        tried.append(version.version_id)
        await asyncio.sleep(0)
        raise RefusedError

    async def run() -> list[object]:
        logins = [login.awaiting(refuse) for _ in range(12)]
        return list(await asyncio.gather(*logins, return_exceptions=True))

    assert {LoginRefusedError} == {type(each) for each in asyncio.run(asyncio.wait_for(run(), PATIENCE_S))}
    assert ["v1"] == tried


@pytest.mark.parametrize("background", [False, True])
def test_a_read_at_the_interpreters_end_waits_for_no_thread(*, background: bool) -> None:
    """An object may read in its `__del__`: Python 3.11 begins threads there that never run."""
    script = f"""
import builtins
from keyturn import Peers, SecretCache
from keyturn.testing.fakes import FakeSecretsManager

source = FakeSecretsManager()
source.create("a", "one", "v1")
cache = SecretCache(peers=Peers(source=source), marker_table=False, background={background})
class Last:
    def __del__(self):
        print("read", cache.get("a").version_id, flush=True)
builtins.last = Last()
"""
    ran = subprocess.run(  # our own script
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert "read v1" in ran.stdout, ran.stderr


def test_the_interpreter_ends_while_a_login_reads() -> None:
    """A process whose login hangs in a read, with its loop stopped, is not held up by the thread."""
    script = """
import asyncio, threading
from keyturn import Peers, SecretCache
from keyturn.integrations.login import Login

class Source:
    def read(self, secret_id, *, stage, version_id=None):
        reached.set()
        threading.Event().wait()

reached, loop = threading.Event(), asyncio.new_event_loop()
async def connect(version):
    return version
async def begin():
    global task
    task = asyncio.ensure_future(Login(SecretCache(peers=Peers(source=Source())), "x").awaiting(connect))
    while not reached.is_set():
        await asyncio.sleep(0)
    task.cancel()
loop.run_until_complete(begin())
print("ends")
"""
    ran = subprocess.run(  # our own script
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert "ends" in ran.stdout
    assert 0 == ran.returncode


def test_an_async_connection_is_opened_without_a_read_on_the_loop(account: Account) -> None:
    """psycopg's: the copy has outlived its window by the time it is connected, and the loop reads nothing."""
    readers = list[int]()
    account.secrets.fail = lambda _: readers.append(threading.get_ident())
    kind = async_connection_class(account.login)

    class Opening(kind):  # type: ignore[valid-type, misc]
        @classmethod
        async def _open(cls, version: SecretVersion, given: object) -> object:
            account.clock.advance(3600)
            return object.__new__(cls)

        def __del__(self, *_: object) -> None:
            """There is no connection to warn of."""

    connection = asyncio.run(Opening.connect("host=replica port=1"))
    assert Opened(*[account.cache.get("app/db").identity] * 2) == connection.opened
    assert readers
    assert threading.get_ident() not in readers[:-1]


def test_a_check_out_reads_in_a_thread(account: Account) -> None:
    """Is it superseded? A hit is answered on the loop; what must be read is read in a thread."""
    readers = list[int]()
    account.secrets.fail = lambda _: readers.append(threading.get_ident())
    opened = Opened(*[account.cache.get("app/db").identity] * 2)
    account.store("two", "v2", "AWSCURRENT")
    readers.clear()
    assert not asyncio.run(account.login.async_is_superseded(opened))
    assert [] == readers
    account.clock.advance(301)
    assert asyncio.run(account.login.async_is_superseded(opened))
    assert readers
    assert threading.get_ident() not in readers


def test_a_metrics_hook_is_not_called_on_the_loop(account: Account) -> None:
    """What a bridged login measures is told in a thread: a hook that is slow does not stop the loop."""
    tellers = list[int]()

    class Hook:
        def record(
            self, metric: Metric, value: float, *, secret: str = "", stage: str = "", error: str = ""
        ) -> None:
            tellers.append(threading.get_ident())

    account.store("two", "v2", "AWSPENDING")
    cache = SecretCache(metrics=Hook(), peers=Peers(source=account.secrets, clock=account.clock))

    async def connect(version: SecretVersion) -> str:
        if version.version_id == "v1":
            raise RefusedError
        return version.version_id

    async def run() -> str:
        connection = await Login(cache, "app/db", budget_s=0).awaiting(connect)
        assert await asyncio.to_thread(eventually, lambda: len(tellers) >= 3)
        return connection

    assert "v2" == asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    assert threading.get_ident() not in tellers


def test_an_error_that_no_future_takes_reaches_the_caller(account: Account) -> None:
    """A source that raises StopIteration fails this login, and does not leave it waiting for ever."""

    def stop(secret_id: str) -> None:
        raise StopIteration

    account.secrets.fail = stop
    with pytest.raises(UnavailableError, match="StopIteration"):
        asyncio.run(asyncio.wait_for(account.login.awaiting(connected), PATIENCE_S))
    account.secrets.fail = FakeSecretsManager(account.clock).fail
    account.clock.advance(1)
    assert "v1" == logged_in(account)


def test_superseded_async_connections_are_checked_by_a_coroutine(account: Account) -> None:
    """`async_retire_superseded` lets a connection of another class be."""

    class Other(psycopg.AsyncConnection):
        def __del__(self, *_: object) -> None:
            """There is no connection to warn of."""

    asyncio.run(async_retire_superseded(object.__new__(Other)))
