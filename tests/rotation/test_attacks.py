"""What somebody gains who may only put a value of one secret, or move its labels: nothing of others.

The server is a real PostgreSQL. An impostor beside it records what it is sent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import sql

from keyturn import SecretFormatError, SecretVersion
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationStepError, Strategy
from keyturn.rotation.postgresql import AlternatingUsers, SingleUser
from keyturn.testing.embedded import LOCALHOST
from keyturn.testing.fakes import FakeClock, FakeSecretsManager
from tests.rotation.conftest import NO_TLS, Stage
from tests.rotation.impostor import COME_IN, Impostor, impostor

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("client", ["moto"], indirect=True)]

MADE_UP = "made up by the attacker"


@pytest.fixture
def thief() -> Iterator[Impostor]:
    """A server of the attacker's that asks for passwords in clear."""
    with impostor() as one:
        yield one


@dataclass
class Turns:
    """A stage with two users in turn, its master, and somebody else's account on the server."""

    stage: Stage

    def __post_init__(self) -> None:
        self.strategy: Strategy = self.stage.alternating()
        self.master_arn = self.current()["masterarn"]
        self.master = self.read(self.master_arn)["username"]
        self.victim = f"payroll_{uuid.uuid4().hex[:8]}"
        self.stage.create_role(self.victim, "the victim's")

    def read(self, secret_id: str) -> dict[str, str]:
        value: dict[str, str] = json.loads(
            self.stage.client.get_secret_value(SecretId=secret_id)["SecretString"]
        )
        return value

    def current(self) -> dict[str, str]:
        return self.read(self.stage.name)

    def plant(self, **fields: object) -> None:
        """Put a new current version with these fields changed."""
        put(self.stage, {**self.current(), **fields})

    def set_master(self, **fields: object) -> None:
        """What the owner of the master's secret stored."""
        value = json.dumps({"username": self.master, "password": "of the master only", **fields})
        self.stage.client.put_secret_value(SecretId=self.master_arn, SecretString=value)

    def grant(self, role: str, to: str, how: str = "") -> None:
        names = sql.Identifier(role), sql.Identifier(to)
        self.stage.as_superuser(sql.SQL(f"GRANT {{}} TO {{}} {how}").format(*names))

    def attributes(self, role: str, attributes: str) -> None:
        self.stage.as_superuser(sql.SQL(f"ALTER ROLE {{}} {attributes}").format(sql.Identifier(role)))

    def roles(self) -> list[tuple[object, ...]]:
        """All roles with their hashes, and all memberships."""
        with self.stage.postgres.connect() as connection:
            roles = connection.execute("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").fetchall()
            members = "SELECT roleid, member FROM pg_auth_members ORDER BY 1, 2"
            return [*roles, *connection.execute(members).fetchall()]

    def assert_refused(self, match: str = "secret", strategy: Strategy | None = None) -> None:
        """The rotation ends with an error before it changed a role."""
        before = self.roles()
        with pytest.raises((RotationStepError, SecretFormatError), match=match) as caught:
            self.stage.rotation(strategy or self.strategy).run()
        assert before == self.roles()
        values = {self.current()[name] for name in ("username", "password")}
        assert not [one for one in values if one in str(caught.value) + variables(caught.value)]


def variables(error: BaseException) -> str:
    """The variables of keyturn's frames, of the error and its chain. A driver's frame is one too many."""
    shown: list[str] = []
    chain = [error]
    while chain:
        error = chain.pop()
        trace = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            if "/src/keyturn/" in frame.f_code.co_filename and "/testing/" not in frame.f_code.co_filename:
                shown.append(repr(frame.f_locals))
            assert "/psycopg/" not in frame.f_code.co_filename
            trace = trace.tb_next
        chain += [one for one in (error.__cause__, error.__context__) if one is not None]
    return "".join(shown)


@pytest.fixture
def turns(stage: Stage) -> Turns:
    """Two users in turn."""
    return Turns(stage)


def put(stage: Stage, fields: Mapping[str, object], *stages: str, version_id: str | None = None) -> None:
    """Put a version, as AWSCURRENT or under these labels."""
    stage.client.put_secret_value(
        SecretId=stage.name,
        SecretString=json.dumps(fields),
        VersionStages=list(stages) or ["AWSCURRENT"],
        ClientRequestToken=version_id or str(uuid.uuid4()),
    )


def test_a_planted_pending_version_leads_no_password_to_another_port(stage: Stage, thief: Impostor) -> None:
    """AWSPENDING is there before createSecret, and names the impostor's port of the same host."""
    rotation = stage.rotation(SingleUser())
    fields = {**stage.fields(), "password": MADE_UP, "port": thief.port}
    put(stage, fields, "AWSPENDING", version_id=rotation.version_id)
    rotation.create()
    with pytest.raises(RotationStepError, match="differ in port"):
        rotation.set()
    assert [] == thief.received
    assert stage.accepts(stage.user, stage.password)


@pytest.mark.parametrize(
    "field", [{"engine": "mysql"}, {"masterarn": "another"}, {"host": "localhost"}, {"username": "x"}]
)
def test_a_planted_pending_version_agrees_in_all_that_matters(stage: Stage, field: dict[str, str]) -> None:
    """Engine, master, host and user are those of AWSCURRENT."""
    rotation = stage.rotation()
    put(
        stage,
        {**stage.fields(), "password": MADE_UP, **field},
        "AWSPENDING",
        version_id=rotation.version_id,
    )
    rotation.create()
    with pytest.raises(RotationStepError, match=r"differ in|engine"):
        rotation.set()


@pytest.mark.parametrize("place", ["host", "port"])
def test_the_previous_password_does_not_go_where_a_planted_version_points(
    stage: Stage, thief: Impostor, place: str
) -> None:
    """AWSCURRENT names the impostor; what is AWSPREVIOUS now was right, and stays here."""
    changed = {"port": thief.port} | ({"host": "localhost"} if place == "host" else {})
    put(stage, {**stage.fields(), "password": MADE_UP, **changed})
    with pytest.raises(psycopg.OperationalError):
        stage.rotation(SingleUser(**NO_TLS)).run()
    assert thief.received
    assert not thief.was_told(stage.password, MADE_UP)


def test_a_server_that_refuses_is_not_asked_with_the_password_of_another(
    stage: Stage, thief: Impostor
) -> None:
    """The options allow a password in clear, and the impostor refuses each: it gets no right one."""
    put(stage, {**stage.fields(), "password": MADE_UP, "port": thief.port})
    with pytest.raises(RotationStepError, match="the server refuses"):
        stage.rotation(SingleUser(**NO_TLS, require_auth="")).run()
    assert thief.was_told(MADE_UP)
    assert not thief.was_told(stage.password)


@pytest.mark.parametrize("options", [{}, NO_TLS])
@pytest.mark.parametrize("place", ["host", "port", "both"])
def test_a_master_without_a_host_goes_to_no_host_of_the_secret(
    turns: Turns, thief: Impostor, place: str, options: dict[str, str]
) -> None:
    """The master's secret is managed by RDS: the host of the app's secret is anybody's."""
    strategy = AlternatingUsers(SecretsManagerSource(lambda: turns.stage.client), **options)
    changed: dict[str, object] = {"host": "localhost"} if place != "port" else {}
    turns.plant(**changed, **({"port": thief.port} if place != "host" else {}))
    turns.assert_refused("names no host", strategy)
    assert [] == thief.received


@pytest.mark.parametrize("known", ["options", "master"])
@pytest.mark.parametrize("place", ["host", "port", "both"])
def test_a_master_goes_to_its_own_server_only(turns: Turns, thief: Impostor, place: str, known: str) -> None:
    """The secret names the impostor, the options or the master's secret name the server: nothing is sent."""
    source = SecretsManagerSource(lambda: turns.stage.client)
    port = turns.stage.postgres.port
    strategy = AlternatingUsers(source, **NO_TLS)
    if known == "options":
        strategy = AlternatingUsers(source, host=LOCALHOST, port=port, **NO_TLS)
    else:
        turns.set_master(host=LOCALHOST, port=port)
    changed: dict[str, object] = {"host": "localhost"} if place != "port" else {}
    turns.plant(**changed, **({"port": thief.port} if place != "host" else {}))
    turns.assert_refused("differ in host or port", strategy)
    assert [] == thief.received


@pytest.mark.parametrize(
    "host",
    [
        f"{LOCALHOST},evil.example",
        f"evil.example,{LOCALHOST}",
        "/tmp",  # noqa: S108 # a folder with the socket of a server of the attacker's
        "@abstract",
        "",
        "h\0",
        "h\n",
        f"{LOCALHOST} hostaddr=192.0.2.1",
        "-h",
        "[::1]",
        "::1%lo",
    ],
)
def test_a_host_is_one_name_or_address(turns: Turns, host: str) -> None:
    """libpq would take lists of hosts, and folders with sockets."""
    turns.plant(host=host)
    turns.assert_refused(
        strategy=AlternatingUsers(SecretsManagerSource(lambda: turns.stage.client), **NO_TLS)
    )
    with pytest.raises(SecretFormatError, match="host"):
        turns.stage.rotation().create()


@pytest.mark.parametrize("field", ["hostaddr", "service", "options", "sslmode", "passfile", "require_auth"])
def test_no_other_field_reaches_the_driver(stage: Stage, field: str) -> None:
    """Only the fields that AWS documents are looked at."""
    put(stage, {**stage.fields(), field: "192.0.2.1"})
    stage.rotation().run()
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize("name", ["{victim}", "{victim}_clone", "{master}", "{master}_clone", "pg_monitor"])
def test_nobody_elses_account_is_taken_over(turns: Turns, name: str) -> None:
    """A name with a made-up password is no account: AWSCURRENT has to log in first."""
    turns.stage.create_role(f"{turns.master}_clone", "the master's clone's")
    turns.plant(username=name.format(victim=turns.victim, master=turns.master), password=MADE_UP)
    turns.assert_refused()
    assert turns.stage.accepts(turns.victim, "the victim's")
    assert turns.stage.accepts(turns.master, "of the master only")


@pytest.mark.parametrize("name", ["{master}", "{master}_clone", "{master}_clone_clone"])
def test_the_masters_own_name_is_refused_whoever_knows_its_password(turns: Turns, name: str) -> None:
    """Also with the right password, and though its clone is what a turn would give."""
    name = name.format(master=turns.master)
    if name != turns.master:
        turns.stage.create_role(name, "known to him")
    turns.plant(username=name, password="of the master only" if name == turns.master else "known to him")
    turns.assert_refused("the master's own user")


@pytest.mark.parametrize("name", ["pg_monitor", "pg_read_all_data", "rds_superuser", "rdsadmin"])
def test_a_predefined_role_is_refused_by_its_name(turns: Turns, name: str) -> None:
    """PostgreSQL's and RDS's own: nobody is asked about them."""
    turns.plant(username=name)
    turns.assert_refused("predefined")


def test_a_master_is_not_used_for_a_refused_current_version(turns: Turns) -> None:
    """Somebody changed the password by hand: no master mends that, since it could be anybody's account."""
    turns.plant(password=MADE_UP)
    turns.assert_refused("the server refuses AWSCURRENT, so its master was not asked")
    assert turns.stage.accepts(turns.stage.user, turns.stage.password)


def clone_of(turns: Turns) -> str:
    """The account whose turn is next, made by somebody else."""
    name = f"{turns.stage.user}_clone"
    turns.stage.create_role(name, "somebody's")
    return name


@pytest.mark.parametrize("member_of", ["user", "stranger", "both"])
def test_an_account_that_is_more_than_the_user_is_refused(turns: Turns, member_of: str) -> None:
    """It has the name of the clone, but can become what the user cannot."""
    name = clone_of(turns)
    if member_of != "stranger":
        turns.grant(turns.stage.user, name)
    if member_of != "user":
        turns.grant(turns.victim, name)
    if member_of == "user":
        turns.attributes(name, "REPLICATION")
    turns.assert_refused("cannot")
    assert turns.stage.accepts(name, "somebody's")


@pytest.mark.parametrize("attributes", ["BYPASSRLS", "CREATEDB", "REPLICATION"])
def test_an_attribute_that_the_user_lacks_is_more(turns: Turns, attributes: str) -> None:
    """CREATEDB, REPLICATION and BYPASSRLS are no memberships."""
    name = clone_of(turns)
    turns.grant(turns.stage.user, name)
    turns.attributes(name, attributes)
    turns.assert_refused("cannot")


OF_ITS_OWN = {
    "a grant": ["CREATE TABLE {table} (x int)", "GRANT SELECT ON {table} TO {clone}"],
    "a grant on a column": ["CREATE TABLE {table} (x int)", "GRANT SELECT (x) ON {table} TO {clone}"],
    "an object": ["CREATE TABLE {table} (x int)", "ALTER TABLE {table} OWNER TO {clone}"],
    "a schema": ["CREATE SCHEMA {table} AUTHORIZATION {clone}"],
    "rows": [
        "CREATE TABLE {table} (x int)",
        "GRANT SELECT ON {table} TO {user}",
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY all_rows ON {table} TO {clone} USING (true)",
    ],
    "later grants": ["ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {clone}"],
    "another database": ["CREATE DATABASE {table}", "GRANT CREATE ON DATABASE {table} TO {clone}"],
    "an ADMIN OPTION": [
        "CREATE ROLE {table}",
        "GRANT {table} TO {user}",
        "GRANT {table} TO {clone} WITH ADMIN OPTION",
    ],
    "the user's ADMIN OPTION": ["GRANT {user} TO {clone} WITH ADMIN OPTION"],
}
"""What a member of the user may have beside what the user has."""


def give(turns: Turns, what: str) -> None:
    """Give the clone more than the user has."""
    names = {
        "table": sql.Identifier(f"payroll_{uuid.uuid4().hex[:8]}"),
        "user": sql.Identifier(turns.stage.user),
        "clone": sql.Identifier(f"{turns.stage.user}_clone"),
    }
    with turns.stage.postgres.connect() as connection:
        for statement in OF_ITS_OWN[what]:
            connection.execute(sql.SQL(statement).format(**names))


@pytest.mark.parametrize("what", OF_ITS_OWN)
def test_a_member_with_more_than_the_user_is_refused(turns: Turns, what: str) -> None:
    """It has the name of the clone and is a member, but its password was never one of the secret's."""
    name = clone_of(turns)
    turns.grant(turns.stage.user, name)
    turns.grant(name, turns.master, "WITH ADMIN OPTION")
    give(turns, what)
    turns.assert_refused("of its own")
    assert turns.stage.accepts(name, "somebody's")


@pytest.mark.parametrize("what", OF_ITS_OWN)
def test_the_secrets_own_clone_may_have_more(turns: Turns, what: str) -> None:
    """The password of AWSPREVIOUS logs in as it: whoever has the secret has that account already."""
    for _ in range(2):
        turns.stage.rotation(turns.strategy).run()
    give(turns, what)
    turns.stage.rotation(turns.strategy).run()
    assert turns.stage.credentials()[0].endswith("_clone")
    assert turns.stage.accepts(*turns.stage.credentials())


def deny_listing(stage: Stage) -> None:
    """The policy of a function that was deployed earlier."""

    def denied(**_call: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "ListSecretVersionIds")

    stage.client.meta.events.register("before-call.secrets-manager.ListSecretVersionIds", denied)


@pytest.mark.parametrize("what", ["an object", "the user's ADMIN OPTION"])
@pytest.mark.parametrize("event", ["a value stored by hand", "a cancelled rotation"])
def test_a_version_without_a_label_shows_whose_the_clone_is(turns: Turns, event: str, what: str) -> None:
    """AWSPREVIOUS is of the other user, or older than what the server was told."""
    for _ in range(2):
        turns.stage.rotation(turns.strategy).run()
    give(turns, what)
    if event == "a cancelled rotation":
        rotation = turns.stage.rotation(turns.strategy)
        rotation.run(until="setSecret")
        rotation.abandon()
    else:
        turns.plant(owner="orders")
    turns.stage.rotation(turns.strategy).run()
    assert turns.stage.credentials()[0].endswith("_clone")
    assert turns.stage.accepts(*turns.stage.credentials())


def test_a_clone_that_is_no_more_than_the_user_needs_no_list(turns: Turns) -> None:
    """The permission to list versions is needed only where AWSPREVIOUS does not suffice."""
    deny_listing(turns.stage)
    for _ in range(2):
        turns.stage.rotation(turns.strategy).run()
    turns.plant(owner="orders")
    for _ in range(2):
        turns.stage.rotation(turns.strategy).run()
    give(turns, "an object")
    turns.plant(owner="payments")
    turns.assert_refused(
        "does not log in by a password of the secret; the versions without a label, which may help, could "
        "not be read: AccessDeniedException$"
    )


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("password", [MADE_UP, None])
def test_a_planted_previous_version_shows_nothing(turns: Turns, password: str | None, times: int) -> None:
    """It is, or was, of the clone by its name only, or of the user with the user's password."""
    name = clone_of(turns)
    turns.grant(turns.stage.user, name)
    give(turns, "an object")
    right = turns.current()
    turns.plant(**({"username": name, "password": password} if password else {}))
    for _ in range(times):
        put(turns.stage, right)
    turns.assert_refused("of its own")


@pytest.mark.parametrize("who", ["user", "clone"])
@pytest.mark.parametrize(
    "power", ["SUPERUSER", "CREATEROLE", "pg_execute_server_program", "rds_superuser", "a member"]
)
def test_a_privileged_role_is_refused(turns: Turns, power: str, who: str) -> None:
    """By an attribute of its own, by one that it can become, by a role of PostgreSQL's or RDS's."""
    name = clone_of(turns)
    turns.grant(turns.stage.user, name)
    role = turns.stage.user if who == "user" else name
    if power.isupper():
        turns.attributes(role, power)
    elif power == "a member":
        group = f"admins_{uuid.uuid4().hex[:8]}"
        turns.stage.create_role(group, "x", "CREATEROLE")
        turns.grant(group, role)
    else:
        if power == "rds_superuser":
            with turns.stage.postgres.connect() as connection:
                connection.execute("DROP ROLE IF EXISTS rds_superuser")
                connection.execute("CREATE ROLE rds_superuser")
        turns.grant(power, role)
    turns.assert_refused("privileged")
    assert turns.stage.accepts(name, "somebody's")


def test_the_users_own_clone_of_before_is_still_rotated(turns: Turns) -> None:
    """A clone as AWS's functions make it: a member of the user. So are memberships that both have."""
    name = clone_of(turns)
    group = f"readers_{uuid.uuid4().hex[:8]}"
    turns.stage.create_role(group, "x")
    turns.grant(group, turns.stage.user)
    turns.grant(group, name)
    turns.grant(turns.stage.user, name)
    turns.grant(name, turns.master, "WITH ADMIN OPTION")
    turns.attributes(turns.stage.user, "CREATEDB")
    for _ in range(3):
        turns.stage.rotation(turns.strategy).run()
        assert turns.stage.accepts(*turns.stage.credentials())
    assert not turns.stage.accepts(name, "somebody's")


def database_of(turns: Turns) -> str:
    """A database that the user owns. Its first schema has a `pg_roles` in which nobody is privileged."""
    name = f"db_{uuid.uuid4().hex[:8]}"
    owner = sql.Identifier(turns.stage.user)
    with turns.stage.postgres.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner))
    attributes = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
    columns = ", ".join(f"false AS {one}" for one in attributes)
    with psycopg.connect(
        host=LOCALHOST,
        port=turns.stage.postgres.port,
        dbname=name,
        user=turns.stage.user,
        password=turns.stage.password,
    ) as connection:
        for statement in (
            "CREATE SCHEMA mine",
            f"CREATE VIEW mine.pg_roles AS SELECT oid, rolname, {columns} FROM pg_catalog.pg_roles",  # noqa: S608 # of constants
            "GRANT USAGE ON SCHEMA mine TO PUBLIC",
            "GRANT SELECT ON mine.pg_roles TO PUBLIC",
            f"ALTER DATABASE {name} SET search_path = mine, pg_catalog",
        ):
            connection.execute(statement.encode())
    return name


@pytest.mark.parametrize("named_by", ["the app's secret", "the master's"])
@pytest.mark.parametrize("options", [{}, {"autocommit": True}])
def test_a_database_of_the_users_does_not_decide_what_the_master_sees(
    turns: Turns, named_by: str, options: dict[str, int]
) -> None:
    """Its owner puts a `pg_roles` of his own before that of the server: a master looks at neither."""
    strategy = AlternatingUsers(
        SecretsManagerSource(lambda: turns.stage.client),
        host=LOCALHOST,
        port=turns.stage.postgres.port,
        **NO_TLS,
        **options,
    )
    dbname = database_of(turns)
    name = clone_of(turns)
    turns.grant(turns.stage.user, name)
    turns.attributes(name, "CREATEROLE")
    if named_by == "the master's":
        turns.set_master(host=LOCALHOST, port=turns.stage.postgres.port, dbname=dbname)
    else:
        turns.plant(dbname=dbname)
    turns.assert_refused("privileged", strategy)
    assert turns.stage.accepts(name, "somebody's")


@pytest.mark.parametrize("options", [{}, {"sslmode": None}, {"sslmode": ""}])
def test_tls_is_required_unless_the_options_say_otherwise(stage: Stage, options: dict[str, str]) -> None:
    """This server has none: nothing is changed, and nothing sent in clear. An empty option says nothing."""
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        stage.rotation(SingleUser(**options)).run()
    assert stage.accepts(stage.user, stage.password)


@pytest.mark.parametrize("ssl", [False, "false", "False"])
def test_a_secret_may_say_that_its_server_has_no_tls(stage: Stage, ssl: object) -> None:
    """As for AWS's functions. The password is not sent: SCRAM is required all the same."""
    put(stage, {**stage.fields(), "ssl": ssl})
    stage.rotation(SingleUser()).run()
    assert stage.accepts(*stage.credentials())


@pytest.mark.parametrize("ssl", [True, "true", "TRUE", None, ""])
def test_a_secret_may_say_that_its_server_has_tls(stage: Stage, ssl: object) -> None:
    """True, and what says nothing, require it."""
    put(stage, {**stage.fields(), "ssl": ssl})
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        stage.rotation(SingleUser()).run()


@pytest.mark.parametrize("ssl", ["yes", 1, 0, [], {}])
def test_another_word_about_tls_is_an_error(stage: Stage, ssl: object) -> None:
    """It is not taken for a no."""
    put(stage, {**stage.fields(), "ssl": ssl})
    with pytest.raises(SecretFormatError, match="ssl"):
        stage.rotation().run()


def test_a_secret_cannot_take_tls_from_its_master(turns: Turns) -> None:
    """`"ssl": false` of the app's secret is about the app's own account."""
    source = SecretsManagerSource(lambda: turns.stage.client)
    strategy = AlternatingUsers(source, host=LOCALHOST, port=turns.stage.postgres.port)
    turns.plant(ssl=False)
    rotation = turns.stage.rotation(strategy)
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        rotation.run()
    turns.set_master(ssl=False)
    rotation.retry()
    assert turns.stage.accepts(*turns.stage.credentials())


@pytest.mark.parametrize("answer", ["asks for the password", "lets everybody in"])
def test_a_server_that_does_not_know_the_password_is_no_server(stage: Stage, answer: str) -> None:
    """SCRAM is required: a password is not shown, and a login without proof is none."""
    with impostor(*([COME_IN] if answer.startswith("lets") else [])) as thief:
        put(stage, {**stage.fields(), "port": thief.port})
        with pytest.raises(psycopg.OperationalError, match="authentication"):
            stage.rotation().run()
        assert thief.received
        assert not thief.was_told(*stage.credentials()[1:], *stage.credentials("AWSPENDING")[1:])


def test_no_frame_of_an_error_holds_a_password(stage: Stage) -> None:
    """What a tracker of errors would send along: the variables of each frame of each error of the chain."""
    put(stage, {**stage.fields(), "port": 1})
    with pytest.raises(psycopg.OperationalError) as caught:
        stage.rotation().run()
    shown = variables(caught.value)
    assert shown
    assert stage.credentials("AWSPENDING")[1] not in repr(vars(caught.value.pgconn))
    assert stage.password not in shown
    assert stage.credentials("AWSPENDING")[1] not in shown


def version(**fields: object) -> SecretVersion:
    """A version of a secret with these fields."""
    value = {"host": "h", "username": "u", "password": "p", **fields}
    return SecretVersion("app", "arn", "app", "v1", frozenset(), string=json.dumps(value))


@pytest.mark.parametrize("engine", ["mysql", "redshift", "mariadb"])
def test_a_secret_of_another_engine_is_refused(client: object, engine: str) -> None:
    """A function for PostgreSQL has no business there."""
    with pytest.raises(RotationStepError, match="engine"):
        SingleUser().renew(version(engine=engine), "new")


@pytest.mark.parametrize("engine", ["postgres", "aurora-postgresql", "Postgres"])
def test_the_engines_that_aws_names_are_known(client: object, engine: str) -> None:
    """RDS and Aurora name it in two ways."""
    assert json.loads(SingleUser().renew(version(engine=engine), "new"))["password"] == "new"


@pytest.mark.parametrize("name", ["x" * 64, "x" * 58, "_clone", "\u00e9" * 30])
def test_a_name_that_the_server_would_cut_is_refused(client: object, name: str) -> None:
    """63 bytes are all that PostgreSQL looks at: two names could become one."""
    strategy = AlternatingUsers(FakeSecretsManager(FakeClock()))
    with pytest.raises(RotationStepError, match="63"):
        strategy.renew(version(username=name), "new")
