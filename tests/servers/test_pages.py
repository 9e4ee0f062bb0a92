"""The page about PyMySQL and redis-py runs against MariaDB, Redis and Valkey, in the middle of a rotation."""

from __future__ import annotations

import pytest

from keyturn.integrations.pymysql import LoginConnection
from tests.docs.pages import python_blocks
from tests.servers.conftest import RealAccount

pytestmark = pytest.mark.e2e

EXAMPLES = python_blocks("docs/pymysql-redis.md")


def ran(example: str, names: dict[str, object]) -> dict[str, object]:
    """Run an example of the page, and return what it has made."""
    exec(compile(example, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
    return names


def test_the_page_has_the_examples() -> None:
    """One for each driver, so that none is without a test."""
    assert ["pymysql" in EXAMPLES[0], "redis" in EXAMPLES[1]] == [True, True]
    assert 2 == len(EXAMPLES)


def test_the_example_of_pymysql(mysql_account: RealAccount) -> None:
    """It connects while the server refuses AWSCURRENT, and again after the rotation."""
    mysql_account.open_window()
    names = ran(EXAMPLES[0], {"login": mysql_account.login})
    mysql_account.finish("v2")
    for connection in (names["orders"], names["open_orders"]()):  # type: ignore[operator] # the page's function
        assert isinstance(connection, LoginConnection)
        connection.ping()
        connection.close()


def test_the_example_of_redis(redis_account: RealAccount, key_store: int) -> None:
    """It connects while the server refuses AWSCURRENT, and again after the rotation."""
    redis_account.open_window()
    store = ran(EXAMPLES[1].replace("6379", str(key_store)), {"login": redis_account.login})["store"]
    redis_account.finish("v2")
    store.connection_pool.disconnect()  # type: ignore[attr-defined] # the page's client
    assert store.ping()  # type: ignore[attr-defined] # the page's client
    store.close()  # type: ignore[attr-defined] # the page's client
