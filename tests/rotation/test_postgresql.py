"""What the two strategies do to a PostgreSQL server."""

from __future__ import annotations

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import sql

from keyturn import ConfigurationError, SecretFormatError, SecretVersion
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationStepError, Strategy
from keyturn.rotation.postgresql import AlternatingUsers, SingleUser
from keyturn.testing import Rotation
from keyturn.testing.embedded import LOCALHOST, EmbeddedPostgres
from tests.rotation.conftest import NO_TLS, Stage

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("client", ["moto"], indirect=True)]


TOO_LARGE = 1 << 60
"""The stack of a thread that no system can give."""


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
    "role = {group}",
    "session_authorization = {group}",
    "search_path = 'nowhere'",
    "client_encoding = 'SQL_ASCII'",
    "standard_conforming_strings = off",
    "row_security = off",
]
"""What a role may set for all of its own sessions."""


def set_own(stage: Stage, user: str, setting: str) -> sql.Identifier:
    """Make a setting count in each of the user's sessions. Returns a new group of the user's."""
    group, name = sql.Identifier(f"owners {uuid.uuid4().hex[:8]}"), sql.Identifier(user)
    text = f"ALTER ROLE {{name}} SET {setting}"
    for each in ("CREATE ROLE {group}", "GRANT {group} TO {name}", text):
        stage.as_superuser(sql.SQL(each).format(group=group, name=name))
    return group


@pytest.mark.parametrize("setting", OWN_SETTINGS)
def test_a_users_own_settings_do_not_keep_it_from_its_password(
    client: SecretsManagerClient, postgres: EmbeddedPostgres, setting: str
) -> None:
    """A read-only user, and one that takes its owner's role at each login: its name has odd letters, too."""
    stage = Stage(client, postgres, user=f'o"rd\u20acrs \\ {uuid.uuid4().hex[:8]}')
    set_own(stage, stage.user, setting)
    stage.rotation().run()
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize(
    ("require_auth", "setting", "stored"),
    [
        ("scram-sha-256", "md5", "SCRAM-SHA-256"),
        ("scram-sha-256,password", "md5", "SCRAM-SHA-256"),
        ("!password,!md5", "md5", "SCRAM-SHA-256"),
        ("!none", "scram-sha-256", "SCRAM-SHA-256"),
        ("scram-sha-256,md5", "scram-sha-256", "SCRAM-SHA-256"),
        ("", "scram-sha-256", "SCRAM-SHA-256"),
    ],
)
def test_a_password_is_stored_by_a_method_that_the_function_lets_in(
    stage: Stage, require_auth: str, setting: str, stored: str
) -> None:
    """The server's `password_encryption` counts only if the options let both methods in."""
    name = sql.Identifier(stage.user)
    stage.as_superuser(sql.SQL(f"ALTER ROLE {{}} SET password_encryption = '{setting}'").format(name))
    for _ in range(2):
        stage.rotation(SingleUser(**NO_TLS, require_auth=require_auth)).run()
    with stage.postgres.connect() as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [stage.user])
        assert str(row.fetchone()).startswith(f"('{stored}")
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize("setting", [one for one in OWN_SETTINGS if "group" not in one])
def test_a_masters_own_settings_do_not_keep_it_from_the_clone(stage: Stage, setting: str) -> None:
    """Its transactions may be read-only until it says otherwise."""
    strategy = stage.alternating()
    set_own(stage, master_of(stage), setting)
    for _ in range(2):
        stage.rotation(strategy).run()
        assert stage.accepts(*stage.credentials())


def test_a_master_keeps_the_role_that_it_takes_at_each_login(stage: Stage) -> None:
    """The right to create roles may be of that role only."""
    strategy = stage.alternating()
    master = master_of(stage)
    group = set_own(stage, master, "role = {group}")
    for text, names in (
        ("ALTER ROLE {} CREATEROLE", [group]),
        ("GRANT {} TO {} WITH ADMIN OPTION", [sql.Identifier(stage.user), group]),
        ("ALTER ROLE {} NOCREATEROLE", [sql.Identifier(master)]),
    ):
        stage.as_superuser(sql.SQL(text).format(*names))
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


@pytest.mark.parametrize("kind", ["single", "alternating"])
def test_a_role_that_another_session_is_changing_is_not_waited_for_without_end(
    stage: Stage, kind: str
) -> None:
    """The step ends with the server's error, and the next try does it."""

    def strategy(seconds: float) -> Strategy:
        if kind == "single":
            return SingleUser(answer_timeout_s=seconds, **NO_TLS)
        source = SecretsManagerSource(lambda: stage.client)
        port = stage.postgres.port
        return AlternatingUsers(source, answer_timeout_s=seconds, host=LOCALHOST, port=port, **NO_TLS)

    if kind == "alternating":
        stage.rotation(stage.alternating()).run()
    rotation = stage.rotation(strategy(0.4))
    with changing(stage), pytest.raises(psycopg.errors.QueryCanceled):
        rotation.run()
    Rotation(stage.client, stage.name, stage.function(strategy(10)), version_id=rotation.version_id).run()
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize("what", ["single", "first clone", "clone"])
def test_two_calls_that_change_a_role_at_once(stage: Stage, what: str) -> None:
    """Both wait for the same row. The slower one finds the role changed, and its step is done."""
    strategy = SingleUser(**NO_TLS) if what == "single" else stage.alternating()
    if what == "clone":
        for _ in range(2):
            stage.rotation(strategy).run()
    rotation = stage.rotation(strategy)
    rotation.create()
    role = sql.Identifier(stage.credentials("AWSPENDING")[0])
    text = "CREATE ROLE {}" if what == "first clone" else "ALTER ROLE {} CONNECTION LIMIT 5"
    with ThreadPoolExecutor(2) as threads, stage.postgres.connect() as other:
        with other.transaction(force_rollback=True):
            other.execute(sql.SQL(text).format(role))
            steps = [threads.submit(rotation.repeat, "setSecret") for _ in range(2)]
            while waiting(stage) < 2:
                assert not any(step.done() for step in steps)
        assert [None, None] == [step.result(30) for step in steps]
    assert stage.accepts(*stage.credentials("AWSPENDING"))


def waiting(stage: Stage) -> int:
    """How many sessions wait for a transaction that holds a role."""
    with stage.postgres.connect() as connection:
        row = connection.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "transaction_timeout"])
def test_a_users_own_patience_does_not_count(stage: Stage, setting: str) -> None:
    """It may be meant for queries of an application. Another session holds the role for a while."""
    set_own(stage, stage.user, f"{setting} = '50ms'")
    with changing(stage) as end:
        threading.Timer(0.25, end.set).start()
        stage.rotation().run()
    assert stage.accepts(*stage.credentials())


@contextmanager
def changing(stage: Stage) -> Iterator[threading.Event]:
    """Hold the user's role in another session, until the block or the event ends."""
    held, end = threading.Event(), threading.Event()
    text = sql.SQL("ALTER ROLE {} CONNECTION LIMIT 5").format(sql.Identifier(stage.user))

    def hold() -> None:
        with stage.postgres.connect() as other, other.transaction(force_rollback=True):
            other.execute(text)
            held.set()
            end.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield end
    finally:
        end.set()
        thread.join()


@contextmanager
def mute_proxy(port: int) -> Iterator[int]:
    """Pass logins on to the server, and then take what comes without an answer. Yields its port."""
    listener = socket.create_server((LOCALHOST, 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=relay, args=(listener.accept()[0],), daemon=True).start()

    def relay(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection((LOCALHOST, port)) as server:
            while said := client.recv(65536):
                # A query: what comes before it is part of the login.
                if said[:1] in (b"Q", b"P"):
                    while client.recv(65536):
                        pass
                    return
                server.sendall(said)
                client.sendall(server.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


@pytest.mark.parametrize("step", ["set", "test"])
def test_no_session_stays_open_where_no_thread_can_be_had(stage: Stage, step: str) -> None:
    """A function that is kept for its next invocation would collect sessions, at the limit of threads."""
    current, pending = (
        SecretVersion(
            "app", "arn", "app", text, frozenset(), string=json.dumps({**stage.fields(), **changed})
        )
        for text, changed in (("1", {}), ("2", {"password": "new"}))
    )
    strategy = SingleUser(**NO_TLS)
    before = threading.stack_size(TOO_LARGE)
    try:
        with pytest.raises(RuntimeError, match="thread") as caught:
            strategy.set(pending, [current]) if step == "set" else strategy.test(current)
    finally:
        threading.stack_size(before)
    asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    with stage.postgres.connect() as connection:
        # The server needs a moment to end a session that was closed.
        counts = (connection.execute(asked, [stage.user]).fetchone() for _ in range(2000))
        assert (0,) in counts
    # Until here the error's frames hold what was not closed.
    del caught


@pytest.mark.parametrize("what", ["the user changes itself", "a master changes it", "a test"])
def test_a_server_that_goes_silent_after_the_login_is_given_up(stage: Stage, what: str) -> None:
    """A proxy that lost its server holds the connection and says nothing: the driver waits without end."""
    stage.alternating()
    with mute_proxy(stage.postgres.port) as port:
        fields = {**read(stage, stage.name), "port": port}
        current, pending, clone = (
            SecretVersion("app", "arn", "app", text, frozenset(), string=json.dumps({**fields, **changed}))
            for text, changed in (
                ("1", {}),
                ("2", {"password": "new"}),
                ("3", {"username": f"{stage.user}_clone"}),
            )
        )
        single = SingleUser(answer_timeout_s=0.1, **NO_TLS)
        source = SecretsManagerSource(lambda: stage.client)
        pair = AlternatingUsers(source, answer_timeout_s=0.1, host=LOCALHOST, port=port, **NO_TLS)
        calls: dict[str, Callable[[], None]] = {
            "the user changes itself": lambda: single.set(pending, [current]),
            "a master changes it": lambda: pair.set(clone, [current]),
            "a test": lambda: single.test(current),
        }
        with pytest.raises(RotationStepError, match=r"did not answer within 0\.2 s") as caught:
            calls[what]()
    assert stage.password not in str(caught.value)
    assert stage.accepts(stage.user, stage.password)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 86_401, 1e10, "soon", "0", "nan"])
def test_a_time_that_is_none_is_refused(client: object, seconds: float | str) -> None:
    """Before anything is asked of a server."""
    with pytest.raises(ConfigurationError, match="answer_timeout_s"):
        SingleUser(answer_timeout_s=seconds)


@pytest.mark.parametrize("seconds", ["", "0.5", 86_400])
def test_a_time_may_be_a_text_or_empty_or_a_day(stage: Stage, seconds: float | str) -> None:
    """It is an option as the others, which may come from variables; the server takes the longest, too."""
    stage.rotation(SingleUser(answer_timeout_s=seconds, **NO_TLS)).run()
    assert stage.accepts(*stage.credentials())


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


def test_a_rotation_that_was_cancelled_after_setsecret(stage: Stage) -> None:
    """No label names the password that the server has. The next rotation finds it in one without a label."""
    cancelled = stage.rotation()
    cancelled.run(until="setSecret")
    cancelled.abandon()
    assert not stage.accepts(*stage.credentials())
    stage.rotation().run()
    assert stage.accepts(*stage.credentials())


def test_a_function_that_may_not_list_versions_says_so(stage: Stage) -> None:
    """The error of a rotation that finds no password has the permission that might help."""
    cancelled = stage.rotation()
    cancelled.run(until="setSecret")
    cancelled.abandon()

    def denied(**_call: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "ListSecretVersionIds")

    stage.client.meta.events.register("before-call.secrets-manager.ListSecretVersionIds", denied)
    with pytest.raises(RotationStepError, match=r"the server refuses .* without a label.* AccessDenied"):
        stage.rotation().run()


def test_the_letters_of_other_fields_stay(stage: Stage) -> None:
    """The new version has them as they are, also where their escapes would exceed 65,536 bytes."""
    text = json.dumps({**stage.fields(), "note": "\u00fc\u7528" * 10_000}, ensure_ascii=False)
    stage.client.put_secret_value(SecretId=stage.name, SecretString=text)
    stage.rotation().run()
    new = stage.client.get_secret_value(SecretId=stage.name, VersionStage="AWSCURRENT")["SecretString"]
    assert json.loads(text)["note"] == json.loads(new)["note"]
    assert len(new.encode()) <= 65_536


@pytest.mark.parametrize("word", ["password", "authentication failed", "FATAL", "a"])
def test_a_password_that_is_a_word_of_the_refusal(stage: Stage, word: str) -> None:
    """Terraform put the first password once more, a weak one: it is refused, and AWSPREVIOUS logs in."""
    stage.client.put_secret_value(
        SecretId=stage.name, SecretString=json.dumps({**stage.fields(), "password": word})
    )
    stage.rotation().run()
    assert stage.accepts(*stage.credentials())


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


def test_a_table_that_the_clone_makes(stage: Stage) -> None:
    """It is the clone's alone, unless the clone takes the user's role at each login, as the page says."""
    strategy = stage.alternating()
    names = {"user": sql.Identifier(stage.user), "clone": sql.Identifier(f"{stage.user}_clone")}
    stage.as_superuser(sql.SQL("CREATE SCHEMA AUTHORIZATION {user}").format(**names))
    stage.rotation(strategy).run()
    make_table(stage, "first")
    stage.rotation(strategy).run()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows_of(stage, "first")
    stage.as_superuser(sql.SQL("REASSIGN OWNED BY {clone} TO {user}").format(**names))
    stage.as_superuser(sql.SQL("ALTER ROLE {clone} SET role = {user}").format(**names))
    stage.rotation(strategy).run()
    make_table(stage, "second")
    for _ in range(2):
        stage.rotation(strategy).run()
        assert [] == rows_of(stage, "first") == rows_of(stage, "second")


def table_of(stage: Stage, name: str) -> dict[str, sql.Identifier]:
    """The name of a table in the user's schema, for a statement."""
    return {"table": sql.Identifier(stage.user, name)}


def make_table(stage: Stage, name: str) -> None:
    """What a program with the secret does, or a migration."""
    with stage.postgres.connect(*stage.credentials()) as connection:
        connection.execute(sql.SQL("CREATE TABLE {table} (x int)").format(**table_of(stage, name)))


def rows_of(stage: Stage, name: str) -> list[tuple[object, ...]]:
    """What the table has, for the user of AWSCURRENT."""
    with stage.postgres.connect(*stage.credentials()) as connection:
        return connection.execute(sql.SQL("SELECT x FROM {table}").format(**table_of(stage, name))).fetchall()


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
