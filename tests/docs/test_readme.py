"""README.md and the site's first page are true: their Python runs, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import psycopg
import pytest
from moto import mock_aws

from keyturn.testing.embedded import LOCALHOST, EmbeddedPostgres
from tests.docs.pages import python_blocks

pytestmark = pytest.mark.e2e


@pytest.fixture
def _orders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database that the handler asks, and the secret with its login."""
    with EmbeddedPostgres() as postgres, mock_aws():
        with postgres.connect() as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'word'")
            connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 3) AS number")
            connection.execute("GRANT SELECT ON orders TO app")
        monkeypatch.setenv("PGPORT", str(postgres.port))
        monkeypatch.setenv("PGDATABASE", postgres.database)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        value = {"host": LOCALHOST, "username": "app", "password": "word"}
        client = boto3.client("secretsmanager")
        client.create_secret(Name="prod/app/db", SecretString=json.dumps(value))
        yield


@pytest.mark.usefixtures("_orders")
def test_the_handler_runs() -> None:
    """It logs in with the secret, keeps its connection, and logs in again when that is closed."""
    (example,) = python_blocks("README.md")
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 # the page's own code
    handler = names["handler"]
    assert callable(handler)
    assert [(3,)] == handler({}, None)
    kept = names["database"]
    assert isinstance(kept, psycopg.Connection)
    with kept:
        assert [(3,)] == handler({}, None)
        assert kept is names["database"]
    assert [(3,)] == handler({}, None)
    anew = names["database"]
    assert isinstance(anew, psycopg.Connection)
    anew.close()
    assert anew is not kept


@pytest.mark.proof
@pytest.mark.usefixtures("_orders")
def test_the_first_page_logs_in() -> None:
    """Its lines give a connection that is logged in with the secret."""
    (example,) = python_blocks("docs/index.md")
    names: dict[str, object] = {}
    exec(compile(example, "docs/index.md", "exec"), names)  # noqa: S102 # the page's own code
    database = names["database"]
    assert isinstance(database, psycopg.Connection)
    with database:
        assert [("app",)] == database.execute("select current_user").fetchall()
