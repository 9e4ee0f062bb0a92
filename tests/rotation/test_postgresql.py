"""What the two strategies do to a PostgreSQL server."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from keyturn import SecretFormatError
from keyturn.rotation import RotationStepError
from keyturn.testing.embedded import EmbeddedPostgres
from tests.rotation.conftest import Stage

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("client", ["moto"], indirect=True)]


def put_pending(stage: Stage, version_id: str, **fields: str) -> None:
    """A pending version that somebody else wrote."""
    text = json.dumps({**stage.fields(), "password": "another", **fields})
    stage.client.put_secret_value(
        SecretId=stage.name, SecretString=text, ClientRequestToken=version_id, VersionStages=["AWSPENDING"]
    )


def test_the_password_is_in_no_statement(stage: Stage) -> None:
    """The server's own log of statements has the ALTER ROLE, and neither password."""
    rotation = stage.rotation()
    rotation.run()
    with stage.postgres.connect() as connection:
        row = connection.execute("SELECT pg_read_file(pg_current_logfile())").fetchone()
    assert row is not None
    assert f'ALTER ROLE "{stage.user.replace(chr(34), chr(34) * 2)}" PASSWORD' in row[0]
    assert stage.credentials()[1] not in row[0]


OWN_SETTINGS = [
    "default_transaction_read_only = on",
    "transaction_read_only = on",
    "role = 'owners'",
    "session_authorization = 'owners'",
    "search_path = 'nowhere'",
    "client_encoding = 'SQL_ASCII'",
    "standard_conforming_strings = off",
    "row_security = off",
]
"""What a role may set for all of its own sessions."""


def create_group(stage: Stage, name: str) -> None:
    """A role that cannot log in."""
    with stage.postgres.connect() as connection:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))


def set_own(stage: Stage, user: str, setting: str) -> None:
    """Make a setting count in each of the user's sessions."""
    with stage.postgres.connect() as connection:
        connection.execute(sql.SQL("GRANT owners TO {}").format(sql.Identifier(user)))
        text = sql.SQL(f"ALTER ROLE {{}} SET {setting}")  # type: ignore[arg-type] # of the table
        connection.execute(text.format(sql.Identifier(user)))


@pytest.mark.parametrize("setting", OWN_SETTINGS)
def test_a_users_own_settings_do_not_keep_it_from_its_password(
    client: SecretsManagerClient, postgres: EmbeddedPostgres, setting: str
) -> None:
    """A read-only user, and one that takes its owner's role at each login: its name has odd letters, too."""
    stage = Stage(client, postgres, user=f'o"rd\u20acrs \\ {uuid.uuid4().hex[:8]}')
    create_group(stage, "owners")
    set_own(stage, stage.user, setting)
    stage.rotation().run()
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize("setting", [one for one in OWN_SETTINGS if "'owners'" not in one])
def test_a_masters_own_settings_do_not_keep_it_from_the_clone(stage: Stage, setting: str) -> None:
    """Its transactions may be read-only until it says otherwise."""
    strategy = stage.alternating()
    create_group(stage, "owners")
    set_own(stage, master_of(stage), setting)
    for _ in range(2):
        stage.rotation(strategy).run()
        assert stage.accepts(*stage.credentials())


def test_a_master_keeps_the_role_that_it_takes_at_each_login(stage: Stage) -> None:
    """The right to create roles may be of that role only."""
    strategy = stage.alternating()
    create_group(stage, "owners")
    master = sql.Identifier(master_of(stage))
    for text, names in (
        ("ALTER ROLE owners CREATEROLE", []),
        ("GRANT {} TO owners WITH ADMIN OPTION", [sql.Identifier(stage.user)]),
        ("ALTER ROLE {} NOCREATEROLE", [master]),
    ):
        stage.as_superuser(sql.SQL(text).format(*names))
    set_own(stage, master_of(stage), "role = 'owners'")
    stage.rotation(strategy).run()
    assert stage.accepts(*stage.credentials())


def master_of(stage: Stage) -> str:
    """The user that creates other users for this secret."""
    master: str = read(stage, read(stage, stage.name)["masterarn"])["username"]
    return master


def read(stage: Stage, secret_id: str) -> dict[str, str]:
    """The fields of a secret."""
    fields: dict[str, str] = json.loads(stage.client.get_secret_value(SecretId=secret_id)["SecretString"])
    return fields


def test_a_rolled_back_secret_can_be_rotated(stage: Stage) -> None:
    """AWSCURRENT is back on what the server refuses, AWSPREVIOUS is what it accepts: that one is used."""
    rotation = stage.rotation()
    rotation.run()
    rotation.rollback()
    assert not stage.accepts(*stage.credentials())
    stage.rotation().run()
    assert stage.accepts(*stage.credentials())


def test_a_server_that_refuses_everything_is_told_of(stage: Stage) -> None:
    """Somebody changed the password: a clear error without a value, and nothing else changed."""
    alter = sql.SQL("ALTER ROLE {} PASSWORD 'changed by hand'").format(sql.Identifier(stage.user))
    stage.as_superuser(alter)
    with pytest.raises(RotationStepError, match="the server refuses") as caught:
        stage.rotation().run()
    assert stage.password not in str(caught.value)
    assert stage.accepts(stage.user, "changed by hand")


@pytest.mark.parametrize("fields", [{"username": "postgres"}, {"host": "192.0.2.1"}])
def test_a_pending_version_for_another_user_or_server_is_refused(
    stage: Stage, fields: dict[str, str]
) -> None:
    """Neither does a known password go to another server, nor is another user's changed."""
    rotation = stage.rotation()
    put_pending(stage, rotation.version_id, **fields)
    with pytest.raises(RotationStepError, match="versions differ"):
        rotation.set()
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize(
    "text", ["not json", "[]", '{"password": "hunter2"}', '{"username": "root"}', '{"host": "h"}']
)
def test_a_secret_of_another_shape_is_told_of(stage: Stage, text: str) -> None:
    """The error names the secret and what is missing, and quotes nothing."""
    stage.client.put_secret_value(SecretId=stage.name, SecretString=text)
    with pytest.raises(SecretFormatError) as caught:
        stage.rotation().run()
    assert text not in str(caught.value)


def test_two_users_take_turns(stage: Stage) -> None:
    """The user of the version before works until its own turn comes; then it has a new password."""
    strategy = stage.alternating()
    first = stage.credentials()
    stage.rotation(strategy).run()
    second = stage.credentials()
    assert (f"{stage.user}_clone", stage.user) == (second[0], first[0])
    assert stage.accepts(*first)
    assert stage.accepts(*second)
    stage.rotation(strategy).run()
    third = stage.credentials()
    assert stage.user == third[0]
    assert stage.accepts(*second)
    assert stage.accepts(*third)
    assert not stage.accepts(*first)


def test_the_clone_has_the_users_rights_and_memberships(stage: Stage) -> None:
    """What was granted to the user, directly or through a group, is granted to the clone."""
    table, group = sql.Identifier(f"of {stage.user}"), sql.Identifier(f"group {stage.user}")
    user = sql.Identifier(stage.user)
    for statement, names in (
        ("CREATE ROLE {}", [group]),
        ("GRANT {} TO {}", [group, user]),
        ("CREATE TABLE {} (x int)", [table]),
        ("GRANT SELECT ON {} TO {}", [table, user]),
        ("GRANT INSERT ON {} TO {}", [table, group]),
    ):
        stage.as_superuser(sql.SQL(statement).format(*names))
    stage.rotation(stage.alternating()).run()
    with stage.postgres.connect(*stage.credentials()) as connection:
        connection.execute(sql.SQL("INSERT INTO {} VALUES (1)").format(table))
        assert [(1,)] == connection.execute(sql.SQL("SELECT x FROM {}").format(table)).fetchall()


def test_a_clone_whose_name_would_be_cut_is_refused(stage: Stage) -> None:
    """PostgreSQL cuts names at 63 bytes: the clone could be the user himself."""
    strategy = stage.alternating()
    text = json.dumps({**stage.fields(), "username": "x" * 58, "masterarn": "m"})
    stage.client.put_secret_value(SecretId=stage.name, SecretString=text)
    with pytest.raises(RotationStepError, match="63"):
        stage.rotation(strategy).create()


def test_a_master_that_is_refused_is_told_of(stage: Stage) -> None:
    """The error names the master's secret."""
    strategy = stage.alternating()
    master = json.loads(stage.client.get_secret_value(SecretId=stage.name)["SecretString"])["masterarn"]
    stage.client.put_secret_value(SecretId=master, SecretString='{"username": "nobody", "password": "x"}')
    with pytest.raises(RotationStepError, match="master/"):
        stage.rotation(strategy).run()
    assert stage.accepts(*stage.credentials())


def test_a_master_of_another_server_is_not_used(stage: Stage) -> None:
    """Its password is not sent anywhere."""
    strategy = stage.alternating()
    master = json.loads(stage.client.get_secret_value(SecretId=stage.name)["SecretString"])["masterarn"]
    value = {"username": "x", "password": "y", "host": "192.0.2.1"}
    stage.client.put_secret_value(SecretId=master, SecretString=json.dumps(value))
    with pytest.raises(RotationStepError, match="differ in host"):
        stage.rotation(strategy).run()
