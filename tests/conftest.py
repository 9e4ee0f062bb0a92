"""What every test stands on: no test reaches a real account, and a busy machine is no failure."""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType

import botocore.hooks
import botocore.loaders
import pytest
from hypothesis import HealthCheck, settings

import keyturn.aws.loading
from keyturn.announcing import default_announcer
from tests.world import World
from tools.extras import ROOT, missing_for

# Built on the profile that hypothesis chose: in CI its examples are the same in every run. `make test` tries
# few examples; `make proofs` tries many in the same tests.
settings.register_profile("many", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", settings.get_profile("many"), max_examples=25)
settings.load_profile("few")

pytest_plugins = ["tests.servers.fixtures"]

NOT_COLLECTED = pytest.StashKey[dict[str, list[str]]]()
"""Where the files are kept that were left out, each with the packages that it needs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Without this option a test that misses a package fails, as it should after `make test`."""
    parser.addoption(
        "--without-extras", action="store_true", help="leave out tests whose imports are not installed here"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that wait for servers: at the end of a run one worker would wait for them alone."""
    waiting = {item.path for item in items if item.get_closest_marker("e2e")}
    items.sort(key=lambda item: item.path not in waiting)


def pytest_collection_finish() -> None:
    """Keep the collector from looking again and again at what the imports made: a sixth of all CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the workers of `pytest -n auto`: one more than there are cores, since many tests wait."""
    return (os.cpu_count() or 1) + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--without-extras`: leave out what imports a package that is not here, and remember why."""
    file = collection_path / "conftest.py" if collection_path.is_dir() else collection_path
    is_asked = config.getoption("--without-extras") and file.is_file()
    if not is_asked or (not file.match("test_*.py") and file.name != "conftest.py"):
        return None
    missing = missing_for(file)
    if missing:
        config.stash.setdefault(NOT_COLLECTED, {})[str(collection_path.relative_to(ROOT))] = missing
    return True if missing else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why."""
    for path, missing in sorted(config.stash.get(NOT_COLLECTED, {}).items()):
        terminalreporter.write_line(f"not collected: {path} needs {', '.join(missing)}")


@pytest.fixture(scope="session", autouse=True)
def _no_real_account() -> Iterator[None]:
    """Credentials of nobody, a fixed Region, and none of the developer's own AWS settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN"):
            patch.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.setenv(name, "eu-west-1")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, "/dev/null")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session", autouse=True)
def _busy_machines_may_announce() -> Iterator[None]:
    """Let an announcement take longer than a rotation would wait, except where a test sets the time back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keyturn.announcing.DEADLINE_S", 30.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _botocore_learns_once() -> Iterator[None]:
    """Let all botocore sessions share what each would find out anew.

    Reading a service model takes 100 ms. Looking up the aliases of 130 event names takes 16 ms a session,
    and asking `inspect` about the signatures of their handlers 4 ms.
    """
    loader = botocore.loaders.create_loader()
    sparing = keyturn.aws.loading.sparing(loader)
    aliaser = botocore.hooks.EventAliaser(botocore.hooks.HierarchicalEmitter())
    alias_of = cache(aliaser._alias_event_name)  # type: ignore[attr-defined] # noqa: SLF001 # botocore has no public name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", lambda *_: loader)
        patch.setattr("keyturn.aws.loading.sparing", lambda _: sparing)
        patch.setattr("botocore.hooks.EventAliaser._alias_event_name", lambda _, name: alias_of(name))
        patch.setattr("botocore.hooks.accepts_kwargs", _accepts_kwargs)
        yield


def _accepts_kwargs(handler: Callable[..., object]) -> bool:
    """Return what botocore's own function does, which builds a whole signature for it."""
    function = getattr(handler, "__func__", handler)
    if isinstance(function, FunctionType):
        return bool(function.__code__.co_flags & inspect.CO_VARKEYWORDS)
    return inspect.getfullargspec(handler).varkw is not None


@pytest.fixture(autouse=True)
def _announce_starts_anew() -> None:
    """Let no test announce with the clients that `announce` made for an earlier one and its account."""
    default_announcer.cache_clear()


@pytest.fixture
def world() -> World:
    """A world of its own for every test."""
    return World()
