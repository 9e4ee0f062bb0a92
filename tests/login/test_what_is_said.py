"""What a login says when it fails: what was tried, what could not be read, what was waited for."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from math import inf, nan
from unittest.mock import MagicMock, Mock

import pytest

from keyturn import AccessDeniedError, AsyncSecretCache, ConfigurationError, LoginRefusedError, SecretError
from keyturn.model.versions import SecretVersion
from tests.login.client import Client, RefusedError, Server, is_refused
from tests.world import NAME, World


class Hostile:
    """An object of a framework's, whose attributes cannot be read here."""

    def __getattr__(self, name: str) -> object:
        if name == "get_remaining_time_in_millis":
            raise RuntimeError(name)
        raise AttributeError(name)


def failing(world: World, stage: str, error: type[SecretError]) -> None:
    """Let reads of this stage fail."""
    read = world.secrets.read

    def fail(secret_id: str, *, stage: str, version_id: str | None = None) -> SecretVersion:
        if stage == failing_stage:
            raise error(secret_id, "not for this role")
        return read(secret_id, stage=stage, version_id=version_id)

    failing_stage, world.secrets.read = stage, fail  # type: ignore[method-assign]


def test_a_candidate_that_may_not_be_read_is_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """AWSPENDING is denied by IAM: it is in the error, and once in the log, however many logins fail."""
    world.secrets.put(NAME, "two", "v2", "AWSPENDING")
    failing(world, "AWSPENDING", AccessDeniedError)
    one = Client(world, server=Server(accepts={"two"}), table=False)
    for _ in range(3):
        with pytest.raises(LoginRefusedError, match="AWSPENDING could not be read: AccessDeniedError"):
            one.login(budget_s=0)
        world.clock.advance(31)
    (record,) = [each for each in caplog.records if "as a candidate" in each.getMessage()]
    assert record.levelno == logging.WARNING
    assert ("candidate_unreadable", NAME, "AccessDeniedError") == tuple(
        getattr(record, name) for name in ("keyturn_event", "keyturn_secret", "keyturn_error")
    )
    assert "AWSPENDING" in record.getMessage()


def test_a_candidate_that_fails_again_after_it_was_read_is_said_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once per trouble: not again while it lasts, and again when it comes back."""
    one = Client(world, server=Server(accepts=set()), table=False)
    read = world.secrets.read
    for is_denied in (True, True, False, True):
        world.secrets.read = read  # type: ignore[method-assign]
        if is_denied:
            failing(world, "AWSPREVIOUS", AccessDeniedError)
        with pytest.raises(LoginRefusedError):
            one.login(budget_s=0)
        world.clock.advance(61)
    assert 2 == sum("as a candidate" in each.getMessage() for each in caplog.records)


def test_awscurrent_that_cannot_be_read_anew_is_named(world: World) -> None:
    """The copy was refused, and the secret is gone when it is read anew: the error says both."""
    one = Client(world, table=False)

    def connect(version: SecretVersion) -> str:
        world.secrets.delete(NAME)
        raise RefusedError

    with pytest.raises(LoginRefusedError, match="RefusedError; AWSCURRENT could not be read: SecretDeleted"):
        one.cache.login(NAME, connect, is_refused=is_refused, budget_s=0)


def test_a_label_that_is_not_there_is_no_trouble(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Outside of a rotation nothing is AWSPENDING: neither the error nor the log speaks of it."""
    one = Client(world, server=Server(accepts=set()))
    with pytest.raises(LoginRefusedError) as caught:
        one.login(budget_s=0)
    assert "could not be read" not in str(caught.value)
    assert [] == caplog.records


def test_an_exhausted_budget_says_what_was_waited_for(world: World) -> None:
    """How long, for what, and the two limits by their names."""
    one = Client(world, table=False)
    one.login()
    one.server.accepts = set()
    with pytest.raises(
        LoginRefusedError,
        match=r"a rotation seems to be under way, and after [0-9.]+ s .* "
        r"\(budget_s=5, remaining_s: not given\)",
    ):
        one.login(budget_s=5)
    with pytest.raises(LoginRefusedError, match=r"\(budget_s=10, remaining_s: 0\.1 s\)"):
        one.login(remaining_s=lambda: 0.1)


def test_a_refusal_is_told_rather_than_that_it_was_put_off(world: World) -> None:
    """A version that was passed over at first and refused later is shown with its error."""
    one = Client(world, table=False)
    one.login()
    one.server.accepts = set()
    for _ in range(2):
        with pytest.raises(LoginRefusedError):
            one.login(budget_s=0)
    world.clock.advance(25)
    with pytest.raises(LoginRefusedError, match="RefusedError") as caught:
        one.login(budget_s=10)
    assert isinstance(caught.value.__cause__, RefusedError)


def test_the_error_is_no_error_of_the_system(world: World) -> None:
    """`except OSError`, which is about files and sockets, does not swallow a wrong password."""
    assert not issubclass(LoginRefusedError, OSError)
    one = Client(world, server=Server(accepts=set()))
    with pytest.raises(LoginRefusedError) as caught:
        one.login(budget_s=0)
    assert caught.value.detail in str(caught.value)
    assert "version v1" in caught.value.detail


def test_a_lambda_handler_need_not_say_how_long_it_has(world: World) -> None:
    """Under `checks_first` no login waits longer than the invocation has left, and the error says so."""
    one = Client(world, table=False)
    one.login()
    one.server.accepts = set()
    begun_s = world.clock.wall()

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return round(3000 - 1000 * (world.clock.wall() - begun_s))

    @one.cache.checks_first
    def handler(event: object, context: object) -> str:
        return one.login()

    with pytest.raises(LoginRefusedError, match=r"\(budget_s=10, remaining_s: [0-2]\.[0-9] s\)"):
        handler({}, Context())
    assert 1 < one.slept_s < 3
    with pytest.raises(LoginRefusedError, match="remaining_s: not given"):
        handler({}, None)
    assert one.slept_s > 5


@pytest.mark.parametrize(
    "mock", [Mock(), MagicMock(), Mock(spec=["get_remaining_time_in_millis"]), Hostile()]
)
def test_a_mock_of_a_context_tells_no_time(world: World, mock: object) -> None:
    """The unit test of a handler runs, and a real context beside a mock of an event is found."""
    one = Client(world, table=False)
    one.login()
    one.server.accepts = set()

    @one.cache.checks_first
    def handler(event: object, context: object) -> str:
        return one.login()

    with pytest.raises(LoginRefusedError, match="remaining_s: not given"):
        handler({}, mock)
    real = Mock()
    real.get_remaining_time_in_millis.return_value = 1500
    with pytest.raises(LoginRefusedError, match=r"remaining_s: 1\.5 s"):
        handler(mock, real)


def test_a_pool_knows_the_time_by_the_handlers_context(world: World) -> None:
    """A thread of a pool has no context of its own; with a copy of the handler's it knows the time."""
    one = Client(world, table=False)
    one.login()
    one.server.accepts = set()

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 1500

    @one.cache.checks_first
    def handler(event: object, context: object) -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            calls = pool.submit(copy_context().run, one.login), pool.submit(one.login)
        return [str(call.exception()) for call in calls]

    told, untold = handler({}, Context())
    assert "remaining_s: 1.5 s" in told
    assert "remaining_s: not given" in untold


@pytest.mark.parametrize("budget_s", [nan, -1.0, inf, True, "5", None])
def test_a_budget_that_is_no_time_is_refused_at_once(world: World, budget_s: float) -> None:
    """Nobody waits for ever, and no server is asked."""
    one = Client(world)
    with pytest.raises(ConfigurationError, match=r"^budget_s "):
        one.login(budget_s=budget_s)
    with pytest.raises(ConfigurationError, match=r"^budget_s "):
        AsyncSecretCache(one.cache).login_attempts(NAME, budget_s=budget_s)
    assert [] == one.server.tried()
