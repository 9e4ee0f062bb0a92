"""Settings: anything at all is a working cache or listener, or a `ConfigurationError`."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyturn import ConfigurationError, Limits, Peers, SecretCache
from keyturn.testing.fakes import FakeSecretsManager
from rotation_listener.listener import Settings

NAMES = [field.name for field in fields(Limits)]
DURATIONS = [name for name in NAMES if name != "spread"]

numbers = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([5e-324, 1e308])
anything = numbers | st.booleans() | st.text() | st.none() | st.binary() | st.lists(st.integers())


def made(settings: dict[str, object]) -> Limits | None:
    """Limits of these settings, or None when they are refused."""
    try:
        return Limits(**settings)  # type: ignore[arg-type] # anything is what this is about
    except ConfigurationError as error:
        said = str(error)
    assert any(name in said for name in settings)
    return None


@given(st.dictionaries(st.sampled_from(NAMES), anything, max_size=4))
@example({"check_interval_s": math.nan})
def test_any_limits_work_or_are_refused_by_name(settings: dict[str, object]) -> None:
    """Limits that were made are finite numbers that can be computed with; others are named in the error."""
    limits = made(settings)
    if limits is None:
        return
    values = [float(getattr(limits, name)) for name in NAMES]
    assert all(math.isfinite(value) and value >= 0 for value in values)
    assert limits.check_interval_s > 0
    assert isinstance(limits.max_secrets, int)
    assert limits.uncovered_ttl_s <= limits.covered_ttl_s


def test_a_number_beyond_every_float_is_refused() -> None:
    """An integer that cannot be compared with a clock is a `ConfigurationError` too."""
    with pytest.raises(ConfigurationError, match="max_stale_s"):
        Limits(max_stale_s=10**400)


@given(st.dictionaries(st.sampled_from(DURATIONS), anything, max_size=3))
def test_any_cache_serves_or_is_refused(settings: dict[str, object]) -> None:
    """The public constructor is as strict: a cache that was made serves."""
    # Without the time to wait for a read, none is waited for.
    for internal in ("max_backoff_s", "source_ttl_s", "cold_wait_s"):
        settings.pop(internal, None)
    secrets = FakeSecretsManager()
    secrets.create("prod/db", "one")
    try:
        limits = Limits(**settings)  # type: ignore[arg-type] # anything is what this is about
        cache = SecretCache(limits=limits, peers=Peers(source=secrets, clock=secrets.clock))
    except ConfigurationError:
        return
    for _ in range(3):
        assert "one" == cache.get_secret_string("prod/db")
    assert cache.status().secrets[0].bound_s >= 0


def test_no_staleness_at_all_still_serves_what_was_just_read() -> None:
    """With every age limit at 0 each `get` is a read, and what it brings is served."""
    secrets = FakeSecretsManager()
    secrets.create("prod/db", "one")
    cache = SecretCache(
        limits=Limits(uncovered_ttl_s=0, max_stale_s=0), peers=Peers(source=secrets, clock=secrets.clock)
    )
    assert ["one", "one"] == [cache.get_secret_string("prod/db") for _ in range(2)]


texts = st.text() | st.floats().map(str) | st.integers().map(str) | st.just(" ,, ")
VARIABLES = [
    "KEYTURN_MARKER_TABLE",
    "KEYTURN_NAME_PREFIXES",
    "KEYTURN_SECRET_TAG",
    "KEYTURN_SETTLE_S",
    "PATH",
]


@given(st.dictionaries(st.sampled_from(VARIABLES), texts))
@example({"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SETTLE_S": "nan"})
@example({"KEYTURN_MARKER_TABLE": "t", "KEYTURN_SETTLE_S": "1e309"})
def test_any_environment_is_a_listener_or_refused(environment: dict[str, str]) -> None:
    """The listener's settings have a table, a bounded settle time, and prefixes that are not empty."""
    try:
        settings = Settings.of(environment)
    except ConfigurationError:
        return
    assert settings.marker_table.strip()
    assert 0 <= settings.settle_s <= 60
    assert all(settings.name_prefixes)
