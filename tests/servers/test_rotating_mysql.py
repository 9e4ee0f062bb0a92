"""Rotation of MariaDB users on a real server: three strategies, every host, and no password in a log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
import pymysql
import pytest
from moto import mock_aws

from keyturn import ConfigurationError, SecretFormatError
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationFunction, RotationStepError, Strategy
from keyturn.rotation.issuing import UNLABELLED_MAX
from keyturn.rotation.mysql import AlternatingUsers, SingleUser, TwoPasswords
from keyturn.rotation.mysql.shown import account
from keyturn.testing import Rotation
from keyturn.testing.embedded import free_port
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import STEPS, Step
from tests.docs.pages import python_blocks
from tests.servers import databases
from tests.servers.databases import MariaDb
from tests.servers.process import LOCALHOST, answering
from tests.stories.relay import relaying

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

REFUSED = 1045
ADMIN = "the m'aster's \u20ac password"
LOGS = ("general.log", "slow.log")

Kind = Literal["single", "by master", "alternating", "two"]
KINDS: tuple[Kind, ...] = ("single", "by master", "alternating", "two")


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    """A MariaDB server that logs every statement in three ways, and whose plugin ed25519 is loaded."""
    options = [
        *("--general-log=1", "--general-log-file=general.log"),
        *("--slow-query-log=1", "--slow-query-log-file=slow.log", "--long-query-time=0"),
        *("--log-bin=binlog", "--plugin-load-add=auth_ed25519"),
    ]
    with databases.mariadb(*options) as server:
        server.run("CREATE DATABASE shop", "CREATE TABLE shop.lines (a INT, b INT)", "CREATE ROLE reader")
        server.run("GRANT SELECT ON shop.* TO reader")
        yield server


@dataclass
class Stage:
    """A user with accounts for two hosts, the secrets of the user and of the master."""

    client: SecretsManagerClient
    server: MariaDb
    user: str = field(default_factory=lambda: f"a`p'p\"\\ \u00e9%{uuid.uuid4().hex[:8]}")
    password: str = "the 'first' \"\u00e9\u20ac\" \\password% `"
    hosts: tuple[str, ...] = ("%", "127.0.0.1")
    connection: pymysql.Connection[pymysql.cursors.Cursor] | None = None

    def __post_init__(self) -> None:
        self.name = f"prod/{uuid.uuid4()}"
        self.root = f"master_{uuid.uuid4().hex[:8]}"
        self.sql(f"CREATE USER {self.root} IDENTIFIED BY %s", ADMIN)
        self.sql(f"GRANT ALL ON *.* TO {self.root} WITH GRANT OPTION")
        self.sql(f"GRANT reader TO {self.root} WITH ADMIN OPTION")
        for host in self.hosts:
            self.create_user(self.user, host, self.password)
        value = json.dumps({"username": self.root, "password": ADMIN})
        self.master = self.client.create_secret(Name=f"{self.name}-root", SecretString=value)["ARN"]
        self.client.create_secret(Name=self.name, SecretString=json.dumps(self.fields()))
        self.client.rotate_secret(
            SecretId=self.name, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )

    def sql(self, statement: str, *values: str) -> list[tuple[object, ...]]:
        """Run a statement as the server's root, outside of the logs."""
        if self.connection is None:
            socket = str(self.server.folder / "socket")
            self.connection = pymysql.connect(unix_socket=socket, user="root", autocommit=True)
            self.sql("SET sql_log_off = 1, long_query_time = 100, sql_log_bin = 0, sql_mode = ''")
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def create_user(self, user: str, host: str, password: str) -> None:
        rest = "REQUIRE SSL WITH MAX_USER_CONNECTIONS 90"
        self.sql(f"CREATE USER {in_format(user, host)} IDENTIFIED BY %s {rest}", password)
        self.sql(f"GRANT INSERT, UPDATE (a) ON shop.lines TO {account(user, host)} WITH GRANT OPTION")
        self.sql(f"GRANT USAGE ON shop.* TO {account(user, host)} WITH GRANT OPTION")
        self.sql(f"GRANT reader TO {account(user, host)}")
        self.sql(f"SET DEFAULT ROLE reader FOR {account(user, host)}")

    def fields(self) -> dict[str, object]:
        return {
            "engine": "mariadb",
            "host": LOCALHOST,
            "port": self.server.port,
            "username": self.user,
            "password": self.password,
            "masterarn": self.master,
            "dbname": "shop",
        }

    def put(self, *labels: str, token: str | None = None, **changed: object) -> None:
        """Put a version by hand, with these fields changed."""
        self.client.put_secret_value(
            SecretId=self.name,
            SecretString=json.dumps({**self.fields(), **changed}),
            VersionStages=list(labels) or ["AWSCURRENT"],
            ClientRequestToken=token or str(uuid.uuid4()),
        )

    def strategy(self, kind: Kind, **options: object) -> Strategy:
        given: dict[str, object] = {
            "host": LOCALHOST,
            "port": self.server.port,
            "ssl_ca": str(self.server.folder / "server.crt"),
            **options,
        }
        source = SecretsManagerSource(lambda: self.client)
        if kind == "single":
            return SingleUser(**given)  # type: ignore[arg-type] # chosen
        kinds = {"by master": SingleUser, "alternating": AlternatingUsers, "two": TwoPasswords}
        return kinds[kind](source, **given)  # type: ignore[no-any-return] # chosen

    def rotation(self, kind: Kind, **options: object) -> Rotation:
        function = RotationFunction(self.strategy(kind, **options), self.client, announce=unheard)
        return Rotation(self.client, self.name, function)

    def cancel(self) -> None:
        """Cancel the rotation that is under way."""
        listed = self.client.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        pending = next(version_id for version_id, labels in listed.items() if "AWSPENDING" in labels)
        self.client.update_secret_version_stage(
            SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=pending
        )

    def credentials(self, label: str = "AWSCURRENT") -> tuple[str, str]:
        value = json.loads(
            self.client.get_secret_value(SecretId=self.name, VersionStage=label)["SecretString"]
        )
        return value["username"], value["password"]

    def lets_in(self, user: str, password: str) -> bool:
        """Whether the server lets the user in, from this host, over TLS."""
        try:
            self.connect(user, password).close()
        except pymysql.err.OperationalError as error:
            if error.args[0] != REFUSED:
                raise
            return False
        return True

    def connect(self, user: str, password: str) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            host=LOCALHOST,
            port=self.server.port,
            user=user,
            password=password.encode(),
            ssl={"check_hostname": False},
        )

    def shown(self, user: str, host: str) -> str:
        ((text,),) = self.sql(f"SHOW CREATE USER {account(user, host)}")
        return str(text)

    def grants(self, user: str, host: str) -> list[str]:
        """What an account may do, without its name and what it logs in by."""
        lines = [str(line) for (line,) in self.sql(f"SHOW GRANTS FOR {account(user, host)}")]
        return [line.partition(" IDENTIFIED")[0].replace(account(user, host), "") for line in lines]

    def logged(self) -> bytes:
        """All that the server's logs have, its binlog included."""
        data = self.server.folder / "data"
        files = [*(data / name for name in LOGS), *sorted(data.glob("binlog.0*"))]
        assert len(files) > 2
        return b"".join(Path(file).read_bytes() for file in files)


def in_format(user: str, host: str) -> str:
    """An account in a statement that takes values."""
    return account(user, host).replace("%", "%%")


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


@pytest.fixture(scope="module")
def client() -> Iterator[SecretsManagerClient]:
    """Secrets Manager."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        yield client


@pytest.fixture
def stage(client: SecretsManagerClient, server: MariaDb) -> Iterator[Stage]:
    """A user and his secret."""
    stage = Stage(client, server)
    yield stage
    stage.close()


@pytest.mark.parametrize("kind", KINDS)
def test_three_rotations_in_a_row(stage: Stage, kind: Kind) -> None:
    """AWSCURRENT is let in, and AWSPREVIOUS where there are two users or passwords. Older ones are not."""
    seen = [stage.credentials()]
    for _ in range(3):
        stage.rotation(kind).run()
        seen.append(stage.credentials())
        assert stage.lets_in(*seen[-1])
        assert stage.lets_in(*seen[-2]) is (kind in ("alternating", "two"))
        assert not any(stage.lets_in(*older) for older in seen[:-2])


def test_the_page_runs(stage: Stage) -> None:
    """The program of docs/rotation-functions.md rotates, and no password of two rotations is refused."""
    program = next(
        block for block in python_blocks("docs/rotation-functions.md") if "mysql import TwoPasswords" in block
    )
    for word, true in [("db.internal", LOCALHOST), ("3306", str(stage.server.port))]:
        assert word in program
        program = program.replace(word, true)
    program = program.replace("rds.pem", str(stage.server.folder / "server.crt"))
    names: dict[str, object] = {}
    exec(compile(program, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
    first = stage.credentials()
    Rotation(stage.client, stage.name, names["lambda_handler"]).run()  # type: ignore[arg-type] # the page's
    assert stage.lets_in(*first)
    assert stage.lets_in(*stage.credentials())


@pytest.mark.parametrize("kind", KINDS)
def test_the_servers_settings_for_sessions_do_not_count(stage: Stage, kind: Kind) -> None:
    """Transactions that are read-only until they say otherwise, and another meaning of quotes."""
    settings = {"tx_read_only": "ON", "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"}
    for name, value in settings.items():
        stage.sql(f"SET GLOBAL {name} = {value}")
    try:
        for _ in range(2):
            stage.rotation(kind).run()
    finally:
        for name in settings:
            stage.sql(f"SET GLOBAL {name} = DEFAULT")
    assert stage.lets_in(*stage.credentials())


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_that_stopped_is_run_again(stage: Stage, kind: Kind, step: Step) -> None:
    """Stopped after each step, with a whole rotation again: one new version, and it is let in."""
    rotation = stage.rotation(kind)
    rotation.run(until=step)
    new = stage.credentials("AWSCURRENT" if step == "finishSecret" else "AWSPENDING")
    rotation.retry()
    assert new == stage.credentials()
    assert stage.lets_in(*new)


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_twice(stage: Stage, kind: Kind) -> None:
    """A step that is asked for twice does its part once."""
    function = RotationFunction(stage.strategy(kind), stage.client, announce=unheard)

    def twice(event: dict[str, str], context: object) -> None:
        for _ in range(2):
            function(event, context)

    Rotation(stage.client, stage.name, twice).run()
    assert stage.lets_in(*stage.credentials())


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelled_rotation(stage: Stage, kind: Kind) -> None:
    """Cancelled before setSecret the next rotation is as ever, and after it the two credentials still are."""
    stage.rotation(kind).run()
    cancelled = stage.rotation(kind)
    cancelled.run(until="createSecret" if kind in ("single", "by master") else "testSecret")
    lost = stage.credentials("AWSPENDING")
    cancelled.abandon()
    assert stage.lets_in(*stage.credentials())
    before = stage.credentials()
    stage.rotation(kind).run()
    assert stage.lets_in(*stage.credentials())
    assert not stage.lets_in(*lost)
    if kind in ("alternating", "two"):
        assert stage.lets_in(*before)


@pytest.mark.parametrize("kind", ["single", "by master"])
def test_a_rotation_that_was_cancelled_after_setsecret(stage: Stage, kind: Kind) -> None:
    """No label names the password that the server has. The next rotation finds it in one without a label."""
    cancelled = stage.rotation(kind)
    cancelled.run(until="setSecret")
    cancelled.abandon()
    assert not stage.lets_in(*stage.credentials())
    stage.rotation(kind).run()
    assert stage.lets_in(*stage.credentials())


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_that_was_rolled_back(stage: Stage, kind: Kind) -> None:
    """AWSCURRENT is the version before, AWSPREVIOUS the newer one: the next rotation finds what is let in."""
    stage.rotation(kind).run()
    rotation = stage.rotation(kind)
    rotation.run()
    rotation.rollback()
    stage.rotation(kind).run()
    assert stage.lets_in(*stage.credentials())


def test_no_login_is_refused_with_two_passwords(stage: Stage) -> None:
    """Through three rotations, after each step, AWSCURRENT and AWSPREVIOUS are let in."""
    previous = None
    for _ in range(3):
        rotation = stage.rotation("two")
        for step in STEPS:
            rotation.run(until=step)
            assert stage.lets_in(*stage.credentials())
            if previous is not None and step == "createSecret":
                assert stage.lets_in(*previous)
        previous = stage.credentials("AWSPREVIOUS")
        assert stage.lets_in(*previous)


@pytest.mark.parametrize("kind", ["by master", "alternating", "two"])
def test_every_host_of_the_user(stage: Stage, kind: Kind) -> None:
    """Accounts for other hosts with the secret's password change, too, and keep their rights and limits."""
    before = [stage.grants(stage.user, host) for host in stage.hosts]
    stage.rotation(kind).run()
    user, _ = stage.credentials()
    texts = [stage.shown(user, host) for host in stage.hosts]
    methods = [text.partition("IDENTIFIED")[2] for text in texts]
    assert methods[0] == methods[1]
    assert all(text.endswith("REQUIRE SSL WITH MAX_USER_CONNECTIONS 90") for text in texts)
    assert before == [stage.grants(user, host) for host in stage.hosts]


def test_the_clone_has_its_own_password_and_all_grants(stage: Stage) -> None:
    """The clone gets GRANT OPTION, role and default role, and its own password, not the first user's."""
    stage.rotation("alternating").run()
    clone, password = stage.credentials()
    first, others = stage.shown(stage.user, "%"), stage.shown(clone, "%")
    assert first.partition("'*")[2][:40] != others.partition("'*")[2][:40]
    with stage.connect(clone, password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_ROLE()")
        assert cursor.fetchall() == (("reader",),)
        cursor.execute("INSERT INTO shop.lines (a) VALUES (1)")
        cursor.execute("SELECT COUNT(a) FROM shop.lines")
    assert any(line.endswith("WITH GRANT OPTION") for line in stage.grants(clone, "%"))


STALE = {
    "a table": (
        "CREATE TABLE {base}.gone (a INT)",
        "GRANT SELECT ON {base}.gone TO {user}",
        "DROP TABLE {base}.gone",
    ),
    "a column": (
        "CREATE TABLE {base}.less (a INT, b INT)",
        "GRANT SELECT (a, b) ON {base}.less TO {user}",
        "ALTER TABLE {base}.less DROP COLUMN b",
    ),
    "a routine": (
        "CREATE PROCEDURE {base}.gone() SELECT 1",
        "GRANT EXECUTE ON PROCEDURE {base}.gone TO {user}",
        "DROP DATABASE {base}",
    ),
}
"""What makes a right, and takes away what it is about."""


@pytest.mark.parametrize("what", STALE)
def test_a_right_on_what_is_not_there_is_told_of(stage: Stage, what: str) -> None:
    """The server keeps the right, and gives none anew. Once it is revoked the same rotation goes on."""
    base, user = f"base_{uuid.uuid4().hex[:8]}", account(stage.user, "%")
    stage.sql(f"CREATE DATABASE {base}")
    for statement in STALE[what]:
        stage.sql(statement.format(base=base, user=user))
    rotation = stage.rotation("alternating")
    with pytest.raises(RotationStepError, match=rf"a right on what is not there, .*`{base}`.*: revoke it"):
        rotation.run()
    stage.sql(f"REVOKE ALL, GRANT OPTION FROM {user}")
    rotation.retry()
    assert stage.lets_in(*stage.credentials())


def test_options_of_a_client_do_not_change_what_the_function_reads(stage: Stage) -> None:
    """A cursor that gives mappings is common in applications, whose options a function may have, too."""
    options = {"cursorclass": pymysql.cursors.DictCursor}
    stage.rotation("two", **options).run()
    assert stage.lets_in(*stage.credentials())


def test_grants_of_later_reach_the_other_user(stage: Stage) -> None:
    """A right that the current user got since then is the next one's after the rotation."""
    stage.rotation("alternating").run()
    clone, _ = stage.credentials()
    stage.sql(f"GRANT DELETE ON shop.lines TO {account(clone, '%')}")
    stage.rotation("alternating").run()
    assert stage.user == stage.credentials()[0]
    assert any("DELETE" in line for line in stage.grants(stage.user, "%"))


def test_an_account_with_another_password_is_left_alone(stage: Stage) -> None:
    """An account of the same name for another host, with a password of its own, is somebody else's."""
    stage.create_user(stage.user, "10.%", "another")
    before = stage.shown(stage.user, "10.%")
    for kind in ("by master", "two"):
        stage.rotation(kind).run()
    assert before == stage.shown(stage.user, "10.%")


@pytest.mark.parametrize("kind", KINDS)
def test_no_password_is_in_a_log(stage: Stage, kind: Kind) -> None:
    """General log, slow log and binlog have the statements, and no password."""
    passwords = [stage.password, ADMIN]
    for _ in range(2):
        stage.rotation(kind).run()
        passwords.append(stage.credentials()[1])
    logged = stage.logged()
    assert b"PASSWORD = '*" in logged if kind == "single" else b"ALTER USER" in logged
    for password in passwords:
        assert password.encode() not in logged


@dataclass
class Ports(Sequence[int]):
    """The port behind a relay. Another call of setSecret ends right before the second connection."""

    stage: Stage
    user: str
    password: str
    asked: int = 0

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _place: object) -> int:  # type: ignore[override] # a relay asks by number
        self.asked += 1
        if self.asked == 2:
            for host in self.stage.hosts:
                self.stage.sql(f"ALTER USER {in_format(self.user, host)} IDENTIFIED BY %s", self.password)
        return self.stage.server.port


def test_a_faster_call_has_changed_the_password(stage: Stage) -> None:
    """The slower call of setSecret finds AWSCURRENT refused, and AWSPENDING let in by then."""
    first = stage.rotation("single")
    first.create()
    ports = Ports(stage, *stage.credentials("AWSPENDING"))
    with relaying(ports) as relay:
        function = RotationFunction(stage.strategy("single", port=relay.port), stage.client, announce=unheard)
        Rotation(stage.client, stage.name, function, version_id=first.version_id).set()
    assert ports.asked > 2
    assert stage.lets_in(*stage.credentials("AWSPENDING"))


def expire(stage: Stage, user: str, how: str) -> None:
    """Let the password of a user's accounts expire: by its lifetime, by an administrator, or by both."""
    for host in stage.hosts:
        if how != "administrator":
            stage.sql(f"ALTER USER {account(user, host)} PASSWORD EXPIRE INTERVAL 30 DAY")
            stage.sql(
                "UPDATE mysql.global_priv SET priv = "
                "JSON_SET(priv, '$.password_last_changed', UNIX_TIMESTAMP() - 86400 * 31) WHERE user = %s",
                user,
            )
        if how != "lifetime":
            stage.sql(f"ALTER USER {account(user, host)} PASSWORD EXPIRE")
    stage.sql("FLUSH PRIVILEGES")


@pytest.mark.parametrize("is_let_in", [True, False])
@pytest.mark.parametrize("how", ["lifetime", "administrator"])
def test_an_expired_password_is_told_of(stage: Stage, how: str, is_let_in: bool) -> None:  # noqa: FBT001 # a table
    """The user can no longer change it. A master can, if the server lets the user in at all."""
    expire(stage, stage.user, how)
    stage.sql(f"SET GLOBAL disconnect_on_expired_password = {0 if is_let_in else 1}")
    try:
        rotation = stage.rotation("single")
        with pytest.raises(RotationStepError, match="has expired"):
            rotation.run()
        if is_let_in:
            by_master = RotationFunction(stage.strategy("by master"), stage.client, announce=unheard)
            Rotation(stage.client, stage.name, by_master, version_id=rotation.version_id).run()
            assert stage.lets_in(*stage.credentials())
    finally:
        stage.sql("SET GLOBAL disconnect_on_expired_password = 0")


@pytest.mark.parametrize("how", ["lifetime", "administrator", "both"])
def test_a_clone_of_a_user_with_an_expired_password(stage: Stage, how: str) -> None:
    """It gets the lifetime, and a password that has not expired; so do clones of before, in a retry."""
    expire(stage, stage.user, how)
    rotation = stage.rotation("alternating")
    rotation.run(until="setSecret")
    assert ("INTERVAL 30 DAY" in stage.shown(f"{stage.user}_clone", "%")) is (how != "administrator")
    rotation.test()
    expire(stage, f"{stage.user}_clone", "administrator")
    with pytest.raises(RotationStepError, match="has expired"):
        rotation.test()
    rotation.retry()
    stage.rotation("alternating").run()
    assert stage.lets_in(*stage.credentials())


def test_a_user_of_the_method_ed25519(stage: Stage) -> None:
    """The method stays; two passwords of it are refused, since drivers fail at the second."""
    pytest.importorskip("nacl")
    for host in stage.hosts:
        stage.sql(
            f"ALTER USER {in_format(stage.user, host)} IDENTIFIED VIA ed25519 USING PASSWORD(%s)",
            stage.password,
        )
    for kind in ("single", "by master", "alternating"):
        stage.rotation(kind).run()
        user, password = stage.credentials()
        assert stage.lets_in(user, password)
        assert "VIA ed25519" in stage.shown(user, LOCALHOST)
        if kind == "single":
            # Without a master the account of the other host has the first password still.
            stage.sql(f"DROP USER {account(stage.user, '%')}")
            stage.hosts = (LOCALHOST,)
    with pytest.raises(RotationStepError, match="some drivers fail"):
        stage.rotation("two").run()


def test_a_user_with_two_passwords_is_not_changed_by_itself(stage: Stage) -> None:
    """SET PASSWORD would change the first of two, and the second would live on."""
    stage.rotation("two").run()
    with pytest.raises(RotationStepError, match="does not log in by a single password"):
        stage.rotation("single").run()
    before = stage.credentials("AWSPREVIOUS")
    stage.cancel()
    stage.rotation("by master").run()
    assert stage.lets_in(*stage.credentials())
    assert not stage.lets_in(*before)


@pytest.mark.parametrize("what", ["victim", "master", "made up", "nobody", "privileged", "server's"])
@pytest.mark.parametrize("kind", ["by master", "alternating", "two"])
def test_nobody_elses_user_is_changed(stage: Stage, kind: Kind, what: str) -> None:
    """A name with a made-up password is no account; nor is one that may change accounts rotated."""
    victim = f"victim_{uuid.uuid4().hex[:8]}"
    stage.create_user(victim, "%", "the victim's")
    password = {"master": ADMIN, "privileged": "the victim's"}.get(what, "made up")
    if what == "privileged":
        stage.sql(f"GRANT CREATE USER ON *.* TO {victim}")
    user = {"master": stage.root, "made up": stage.user, "nobody": "nobody", "server's": "mariadb.sys"}
    name = user.get(what, victim)
    # Of versions of the same user, AWSPREVIOUS and the newest without a label would be a proof.
    for number in range(UNLABELLED_MAX):
        stage.put(username=name, password=f"made up {number}")
    stage.put(username=name, password=password)
    stage.put(username=name, password=password if what in ("master", "privileged") else "made up too")
    before = stage.sql("SELECT * FROM mysql.global_priv ORDER BY User, Host")
    expected = {"master": "the master's own user", "privileged": "privileged"}.get(what, "refuses AWSCURRENT")
    with pytest.raises(RotationStepError, match=expected) as caught:
        stage.rotation(kind).run()
    assert before == stage.sql("SELECT * FROM mysql.global_priv ORDER BY User, Host")
    assert "made up" not in str(caught.value)


@pytest.mark.parametrize(
    "right", ["GRANT INSERT ON mysql.* TO {}", "GRANT SELECT ON `my%`.* TO {}", "GRANT power TO {}"]
)
def test_what_leads_to_other_accounts_is_privileged(stage: Stage, right: str) -> None:
    """Writing the database `mysql`, also by a pattern or a role, is; reading it is not."""
    stage.sql("CREATE ROLE IF NOT EXISTS power")
    stage.sql("GRANT UPDATE ON mysql.* TO power")
    for host in stage.hosts:
        stage.sql(right.format(account(stage.user, host)))
    rotation = stage.rotation("two")
    if "SELECT" in right:
        rotation.run()
        return
    with pytest.raises(RotationStepError, match="privileged"):
        rotation.run()


def test_a_clone_that_may_do_more_is_refused(stage: Stage) -> None:
    """An account of the clone's name with rights that the user lacks is somebody else's, unless proven."""
    clone = f"{stage.user}_clone"
    stage.create_user(clone, "%", "somebody else's")
    stage.sql(f"GRANT DROP ON shop.* TO {account(clone, '%')}")
    before = stage.shown(clone, "%")
    rotation = stage.rotation("alternating")
    with pytest.raises(RotationStepError, match="has a right that the current user does not have"):
        rotation.run()
    assert before == stage.shown(clone, "%")
    rotation.abandon()
    stage.sql(f"REVOKE DROP ON shop.* FROM {account(clone, '%')}")
    stage.rotation("alternating").run()
    # Now AWSPREVIOUS is of the first user: it is proven, also with more rights.
    stage.sql(f"GRANT DROP ON shop.* TO {account(stage.user, '%')}")
    stage.rotation("alternating").run()
    assert stage.user == stage.credentials()[0]


@pytest.mark.parametrize("place", ["host", "port"])
@pytest.mark.parametrize("kind", ["by master", "alternating", "two"])
def test_no_password_goes_where_a_planted_version_points(stage: Stage, kind: Kind, place: str) -> None:
    """The secret names another server than the options: nothing is sent to it."""
    received: list[bytes] = []
    with answering(lambda connection: received.append(connection.recv(1000))) as port:
        stage.put(**({"host": "localhost"} if place == "host" else {}), port=port)
        with pytest.raises(RotationStepError, match="differ in host or port"):
            stage.rotation(kind).run()
    assert [] == received


@pytest.mark.parametrize(
    "changed", [{"host": "localhost"}, {"port": 1}, {"username": "x"}, {"masterarn": "x"}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_pending_version_agrees_in_all_that_matters(
    stage: Stage, kind: Kind, changed: dict[str, object]
) -> None:
    """AWSPENDING is there before createSecret, for another user or server."""
    rotation = stage.rotation(kind)
    stage.put("AWSPENDING", token=rotation.version_id, password="made up", **changed)
    rotation.create()
    with pytest.raises(RotationStepError, match=r"differ in|not for the user"):
        rotation.set()
    assert stage.lets_in(stage.user, stage.password)


@pytest.mark.parametrize("kind", KINDS)
def test_the_certificate_is_verified(stage: Stage, kind: Kind) -> None:
    """A server with a certificate of an unknown authority, or for another name, gets no password."""
    # An address in another notation is another name, to which the certificate does not belong.
    for options in ({"ssl_ca": None}, {"host": "127.1"}):
        stage.put(host=options.get("host") or LOCALHOST)
        with pytest.raises(pymysql.err.OperationalError, match=r"(?i)certificate"):
            stage.rotation(kind, **options).run()
        stage.cancel()


def test_a_server_without_tls(client: SecretsManagerClient) -> None:
    """It gets a password only if the options, or the secret itself, say so; the master's says nothing."""
    with databases.mariadb("--skip-ssl") as plain:
        plain.run("CREATE ROLE reader", "CREATE DATABASE shop", "CREATE TABLE shop.lines (a INT, b INT)")
        stage = Stage(client, plain)
        for host in stage.hosts:
            stage.sql(f"ALTER USER {account(stage.user, host)} REQUIRE NONE")
        for ssl in (None, False):
            stage.put(ssl=ssl)
            with pytest.raises(pymysql.err.OperationalError, match="SSL is required"):
                stage.rotation("two", ssl_ca=None).run()
            stage.cancel()
        stage.rotation("two", ssl_ca=None, tls=False).run()
        user, password = stage.credentials()
        pymysql.connect(host=LOCALHOST, port=plain.port, user=user, password=password.encode()).close()
        stage.close()


@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_of_an_error_holds_a_password(stage: Stage, kind: Kind) -> None:
    """A server is down: the error, and the variables of all frames that are keyturn's, hold no password."""
    port = free_port()
    stage.put(port=port)
    rotation = stage.rotation(kind, port=port)
    with pytest.raises(pymysql.err.OperationalError) as caught:
        rotation.run()
    shown, trace = [str(caught.value)], caught.value.__traceback__
    while trace is not None:
        if "/src/keyturn/rotation" in trace.tb_frame.f_code.co_filename:
            shown.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    assert len(shown) > 3
    for password in (stage.password, stage.credentials("AWSPENDING")[1], ADMIN):
        assert not any(password in one or repr(password)[1:-1] in one for one in shown)


def test_a_secret_of_another_engine_is_refused(stage: Stage) -> None:
    """A function for MySQL has no business there; nor where the secret names no user or no master."""
    stage.put(engine="postgres")
    with pytest.raises(RotationStepError, match="engine"):
        stage.rotation("two").run()
    stage.put(username="")
    with pytest.raises(SecretFormatError, match="username"):
        stage.rotation("two").run()
    stage.put(masterarn="")
    with pytest.raises(RotationStepError, match="masterarn"):
        stage.rotation("two").run()


def test_an_older_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyMySQL before 1.2 would go on without TLS where a server has none."""
    monkeypatch.setattr(pymysql, "VERSION", (1, 1, 3, "final", 1))
    with pytest.raises(ConfigurationError, match=r"older than 1\.2"):
        SingleUser()
