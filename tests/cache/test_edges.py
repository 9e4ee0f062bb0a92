"""Corners: foreign answers, old answers about a re-created secret, a poller in trouble, hooks."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from math import inf, nan

import pytest

import keyturn
from keyturn import ConfigurationError, Limits, Peers, SecretCache, SecretNotFoundError, UnavailableError
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeReports
from tests.world import NAME, World, held

PATIENCE_S = 20


def test_an_answer_about_another_arn_is_not_taken(world: World) -> None:
    """Asked by a full ARN, an answer about a namesake is 'not found', remembered for a second."""
    cache = world.cache()
    read = world.secrets.read
    world.secrets.read = (  # type: ignore[method-assign]
        lambda secret_id, *, stage, version_id=None: read(NAME, stage=stage, version_id=version_id)
    )
    for _ in range(3):
        with pytest.raises(SecretNotFoundError, match="the answer was about"):
            cache.get(world.arn[:-6] + "zzzzzz")
    assert 1 == world.reads


def test_an_old_answer_does_not_bring_a_recreated_secret_back(world: World) -> None:
    """After the new secret of a name was served, a late replica's answer about the old one is doubted."""
    cache = world.covered()
    past = world.secrets.read(NAME, stage="AWSCURRENT")
    world.secrets.purge(NAME)
    world.clock.advance(1)
    world.secrets.create(NAME, "other", "v1")
    world.mark()
    world.clock.advance(5)
    assert "other" == cache.get_secret_string(NAME)
    read = world.secrets.read
    world.secrets.read = lambda secret_id, *, stage, version_id=None: past  # type: ignore[method-assign]
    cache.invalidate(NAME)
    assert "other" == cache.get_secret_string(NAME)
    world.secrets.read = read  # type: ignore[method-assign]
    world.clock.advance(7)
    assert "other" == cache.get_secret_string(NAME)


def test_a_poller_survives_whatever_happens(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is logged by the poller, which goes on."""
    failed = threading.Semaphore(0)

    def fail() -> Exception:
        failed.release()
        return RuntimeError("unforeseen")

    world.mark()
    with SecretCache(
        check_interval_s=0.01, background=True, peers=Peers(source=world.secrets, markers=world.table)
    ) as cache:
        cache.get(NAME)
        world.table.fail = fail
        for _ in range(3):
            assert failed.acquire(timeout=PATIENCE_S)
        world.table.fail = lambda: None
        for _ in range(1000):
            if held(cache).covered:
                break
            threading.Event().wait(0.01)
        assert held(cache).covered
    assert "the marker table's client failed" in caplog.text


def test_a_poller_keeps_what_it_cannot_refresh(world: World) -> None:
    """Refreshes ahead of use that fail show in status(), and the known version is served."""
    failed = threading.Semaphore(0)

    def fail(secret_id: str) -> Exception:
        failed.release()
        return UnavailableError(secret_id, "down")

    with SecretCache(
        check_interval_s=0.01,
        background=True,
        limits=Limits(uncovered_ttl_s=0.02),
        peers=Peers(source=world.secrets),
    ) as cache:
        cache.get(NAME)
        world.secrets.fail = fail
        assert failed.acquire(timeout=PATIENCE_S)
        for _ in range(1000):
            if held(cache).last_error:
                break
            threading.Event().wait(0.01)
        assert "down" in str(held(cache).last_error)
        assert "one" == cache.get_secret_string(NAME)


def test_a_poller_ends_with_its_cache(world: World) -> None:
    """Nobody has to close a cache: when it is gone, so is its thread; one never used has none to close."""
    SecretCache(background=True, peers=Peers(source=world.secrets)).close()
    cache = SecretCache(check_interval_s=0.01, background=True, peers=Peers(source=world.secrets))
    cache.get(NAME)
    [thread] = [one for one in threading.enumerate() if one.name == "keyturn-poller"]
    del cache
    gc.collect()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_forked_child_has_a_poller_of_its_own(world: World) -> None:
    """The poller's thread does not survive a fork; the child starts one at its first use."""
    with SecretCache(check_interval_s=0.05, background=True, peers=Peers(source=world.secrets)) as cache:
        cache.get(NAME)
        child = os.fork()
        if child == 0:
            cache.get(NAME)
            named = [one for one in threading.enumerate() if one.name == "keyturn-poller"]
            os._exit(0 if len(named) == 1 else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_checks_before_it_serves(world: World) -> None:
    """It has the parent's copy, and one check, by `get` or `preload`, says that it is right: no read."""
    cache = world.covered()
    for call in (lambda: cache.get(NAME), lambda: cache.preload([NAME])):
        heads, reads = world.table.calls["head"], world.reads
        child = os.fork()
        if child == 0:
            call()
            os._exit(0 if (1, 0) == (world.table.calls["head"] - heads, world.reads - reads) else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_of_which_python_is_not_told() -> None:
    """uWSGI forks by itself: the child makes a client of its own, as after any fork."""
    program = """
        import ctypes, os
        from keyturn import Peers, SecretCache
        from keyturn.runtime.process import Once
        from keyturn.testing.fakes import FakeSecretsManager
        secrets, client = FakeSecretsManager(), Once(object)
        secrets.create("s", "x", "v1")
        ours, cache = client(), SecretCache(peers=Peers(source=secrets))
        # No other thread runs, and the GIL is kept: Python knows nothing of this fork.
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            try:
                found = cache.get("s").version_id
                os._exit(0 if found == "v1" and client() is not ours else 2)
            finally:
                os._exit(1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert client() is ours
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_before_the_first_cache() -> None:
    """A worker whose parent has imported keyturn, and made no cache, keeps clients that it made itself."""
    program = """
        import os
        from keyturn import Peers, SecretCache
        from keyturn.runtime.process import Once
        from keyturn.testing.fakes import FakeSecretsManager
        child = os.fork()
        if child == 0:
            try:
                secrets, client = FakeSecretsManager(), Once(object)
                secrets.create("s", "x", "v1")
                ours, cache = client(), SecretCache(peers=Peers(source=secrets))
                os._exit(0 if cache.get("s").version_id == "v1" and client() is ours else 2)
            finally:
                os._exit(1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_snapstart_hooks_drop_the_values() -> None:
    """Where Lambda's snapshot hooks exist, they are registered once and make every cache forget."""
    program = """
        import sys, types
        hooks = types.ModuleType("snapshot_restore_py")
        before, after = [], []
        hooks.register_before_snapshot = lambda f, *a: before.append((f, a))
        hooks.register_after_restore = lambda f, *a: after.append((f, a))
        sys.modules["snapshot_restore_py"] = hooks
        from keyturn import Peers, SecretCache
        from keyturn.testing.fakes import FakeSecretsManager
        secrets = FakeSecretsManager()
        secrets.create("s", "x")
        caches = [SecretCache(peers=Peers(source=secrets)) for _ in range(2)]
        for registered in (before, after):
            assert 1 == len(registered)
            for cache in caches:
                cache.get("s")
            function, arguments = registered[0]
            function(*arguments)
            assert not any(cache.status().secrets for cache in caches)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_a_client_is_made_once_and_anew_after_a_fork() -> None:
    """Threads share one client; a forked child does not share the parent's sockets."""
    from keyturn.runtime.process import Once

    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    once = Once(make)
    assert [0, 0] == [once(), once()]
    once.after_fork()
    assert [1, 1] == [once(), once()]


def test_the_package_names_what_it_lacks() -> None:
    """An unknown attribute is an AttributeError that names it; dir() lists the public names."""
    with pytest.raises(AttributeError, match="nonsense"):
        _ = keyturn.nonsense
    assert {"SecretCache", "announce"} <= set(dir(keyturn))


def test_a_version_knows_its_kind(world: World) -> None:
    """`text` and `blob` give the value of their kind."""
    version: SecretVersion = world.cache().get(NAME)
    assert "one" == version.text()


@pytest.mark.parametrize("timeout_s", [nan, -1.0, inf, 1e10, True, "5", None])
def test_a_cache_is_closed_within_a_time_that_is_one(world: World, timeout_s: float) -> None:
    """What is no number of seconds is refused before anything ends; the longest wait is no error."""
    reports = FakeReports()
    cache = SecretCache(background=True, peers=Peers(source=world.secrets, reports=reports))
    cache.get(NAME)
    with pytest.raises(ConfigurationError, match="timeout_s"):
        cache.close(timeout_s)
    assert [one for one in threading.enumerate() if one.name == "keyturn-poller"]
    cache.close(timeout_s=1e9)
    assert not [one for one in threading.enumerate() if one.name == "keyturn-poller"]
