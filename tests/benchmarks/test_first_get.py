"""A cold start loads what the first get needs, and nothing else: guarded by module names, not by time."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from benchmarks.aws import endpoint, variables
from benchmarks.cold import KEYTURN, KEYTURN_EXTENSION, KEYTURN_TABLE, POWERTOOLS, PROGRAMS, not_needed, start


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The variables of a process that talks to a stub of Secrets Manager."""
    with endpoint() as url:
        yield variables(url)


@pytest.mark.parametrize("program", [KEYTURN, KEYTURN_TABLE, KEYTURN_EXTENSION])
def test_the_first_get_loads_only_what_it_needs(program: str, environment: dict[str, str]) -> None:
    """No pydantic, no boto3, no upstream cache; no marker table and so no client for it before a check."""
    assert not_needed(start(PROGRAMS[program], environment)) == []


def test_a_needless_module_is_seen(environment: dict[str, str]) -> None:
    """A program that imports boto3 is found out."""
    assert "boto3" in not_needed(start(PROGRAMS[POWERTOOLS], environment))


def test_through_the_extension_no_sdk_is_loaded(environment: dict[str, str]) -> None:
    """Nothing but keyturn and the standard library, from the start to the secret."""
    loaded = {name.partition(".")[0] for name in start(PROGRAMS[KEYTURN_EXTENSION], environment).modules}
    assert {"keyturn"} == loaded - sys.stdlib_module_names
