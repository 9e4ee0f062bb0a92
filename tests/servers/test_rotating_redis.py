"""Rotation of Redis and Valkey users on real servers: a primary, its replica, and no refused login."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import redis
from moto import mock_aws
from redis.backoff import NoBackoff
from redis.retry import Retry

from keyturn import ConfigurationError, SecretFormatError
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.rotation import RotationFunction, RotationStepError
from keyturn.rotation.issuing import UNLABELLED_MAX
from keyturn.rotation.redis import TwoPasswords
from keyturn.testing import Rotation
from keyturn.testing.embedded import free_port
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import STEPS, Step
from tests.servers import others
from tests.servers.process import LOCALHOST, answering, folder_for, make_certificate

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

pytestmark = pytest.mark.e2e

ADMIN = "the admin's"
NAME = "prod/redis"


@pytest.fixture(scope="module", params=["redis", "valkey"])
def ports(request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """The ports of a primary and of its replica."""
    kind = getattr(others, request.param)
    with (
        kind("--requirepass", ADMIN) as primary,
        kind(
            *("--requirepass", ADMIN, "--masterauth", ADMIN, "--replicaof", f"{LOCALHOST} {primary}")
        ) as replica,
    ):
        yield [primary, replica]


@dataclass
class Stage:
    """A user on both nodes, the secrets of the user and of the master."""

    client: SecretsManagerClient
    ports: Sequence[int]
    user: str = field(default_factory=lambda: f"app:'\"{uuid.uuid4().hex[:8]}")
    password: str = "the first \u00e9 password"

    def __post_init__(self) -> None:
        for port in self.ports:
            self.admin(port, "ACL", "SETUSER", "root", "on", "resetpass", f">{ADMIN}", "~*", "&*", "+@all")
            self.admin(port, "ACL", "SETUSER", self.user, "on", f">{self.password}", "~*", "+get")
            self.admin(port, "ACL", "LOG", "RESET")
        master = json.dumps({"username": "root", "password": ADMIN})
        self.master = self.client.create_secret(Name="prod/redis-root", SecretString=master)["ARN"]
        self.client.create_secret(Name=NAME, SecretString=json.dumps(self.fields()))
        self.client.rotate_secret(
            SecretId=NAME, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )

    def fields(self) -> dict[str, object]:
        return {
            "engine": "redis",
            "host": LOCALHOST,
            "port": self.ports[0],
            "username": self.user,
            "password": self.password,
            "masterarn": self.master,
        }

    def put(self, *labels: str, token: str | None = None, **changed: object) -> None:
        """Put a version by hand, with these fields changed."""
        self.client.put_secret_value(
            SecretId=NAME,
            SecretString=json.dumps({**self.fields(), **changed}),
            VersionStages=list(labels) or ["AWSCURRENT"],
            ClientRequestToken=token or str(uuid.uuid4()),
        )

    def admin(self, port: int, *words: str) -> object:
        with redis.Redis(host=LOCALHOST, port=port, password=ADMIN) as admin:
            answer: object = admin.execute_command(*words)
        return answer

    def strategy(self, **options: object) -> TwoPasswords:
        given: dict[str, object] = {
            "host": LOCALHOST,
            "port": self.ports[0],
            "nodes": [f"{LOCALHOST}:{port}" for port in self.ports],
            "tls": False,
            **options,
        }
        return TwoPasswords(SecretsManagerSource(lambda: self.client), **given)  # type: ignore[arg-type] # chosen

    def rotation(self, strategy: TwoPasswords | None = None) -> Rotation:
        function = RotationFunction(strategy or self.strategy(), self.client, announce=unheard)
        return Rotation(self.client, NAME, function)

    def password_of(self, label: str) -> str:
        text = self.client.get_secret_value(SecretId=NAME, VersionStage=label)["SecretString"]
        password: str = json.loads(text)["password"]
        return password

    def accepting(self, password: str, user: str | None = None) -> list[int]:
        """The ports of the nodes that let the user in."""
        return [port for port in self.ports if lets_in(port, user or self.user, password)]

    def passwords(self) -> list[object]:
        """The hashes that each node has for the user."""
        return [self.admin(port, "ACL", "GETUSER", self.user) for port in self.ports]

    def refusals(self) -> list[object]:
        """The logins that a node has refused."""
        found: list[object] = []
        for port in self.ports:
            log = self.admin(port, "ACL", "LOG")
            assert isinstance(log, list)
            found += [entry for entry in log if b"auth" in str(entry).encode()]
        return found


def lets_in(port: int, user: str, password: str) -> bool:
    """Whether a node lets a user in."""
    # By default redis-py repeats a login that was refused, with pauses.
    once = Retry(NoBackoff(), 0)
    with redis.Redis(host=LOCALHOST, port=port, username=user, password=password, retry=once) as client:
        try:
            client.get("x")
        except redis.AuthenticationError:
            return False
    return True


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


@pytest.fixture
def stage(ports: list[int]) -> Iterator[Stage]:
    """A user and his secret."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        yield Stage(client, ports)


def test_no_login_is_refused_at_any_time(stage: Stage) -> None:
    """Through three rotations, after each step, both nodes take AWSCURRENT and AWSPREVIOUS; older ones go."""
    passwords = [stage.password]
    for _ in range(3):
        rotation = stage.rotation()
        for step in STEPS:
            rotation.run(until=step)
            assert stage.accepting(stage.password_of("AWSCURRENT")) == stage.ports
            if len(passwords) > 1:
                assert stage.accepting(passwords[-2 if step in STEPS[:1] else -1]) == stage.ports
        passwords.append(stage.password_of("AWSCURRENT"))
        assert stage.accepting(passwords[-1]) == stage.accepting(passwords[-2]) == stage.ports
        for older in passwords[:-2]:
            assert [] == stage.accepting(older)


def test_nothing_is_refused_in_a_rotation(stage: Stage) -> None:
    """Not even the function itself is: it shows by AWSCURRENT that the secret is in use. Nor is a retry."""
    rotation = stage.rotation()
    rotation.run(until="setSecret")
    rotation.retry()
    assert [] == stage.refusals()


@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_that_stopped_is_run_again(stage: Stage, step: Step) -> None:
    """Stopped after each step, with a whole rotation again: one new password, and both work."""
    rotation = stage.rotation()
    rotation.run(until=step)
    label = "AWSCURRENT" if step == "finishSecret" else "AWSPENDING"
    new = stage.password_of(label)
    rotation.retry()
    assert new == stage.password_of("AWSCURRENT")
    assert stage.accepting(new) == stage.accepting(stage.password) == stage.ports


def test_a_node_was_changed_and_the_next_was_not(stage: Stage) -> None:
    """The function stopped between two nodes: the retry changes the other."""
    rotation = stage.rotation()
    rotation.create()
    first = stage.strategy(nodes=())
    Rotation(
        stage.client,
        NAME,
        RotationFunction(first, stage.client, announce=unheard),
        version_id=rotation.version_id,
    ).set()
    new = stage.password_of("AWSPENDING")
    assert [stage.ports[0]] == stage.accepting(new)
    with pytest.raises(RotationStepError, match="a node refuses AWSPENDING"):
        rotation.test()
    rotation.retry()
    assert stage.accepting(new) == stage.accepting(stage.password) == stage.ports


def test_a_cancelled_rotation(stage: Stage) -> None:
    """The current password works on, and the next rotation takes away the one that was cancelled."""
    cancelled = stage.rotation()
    cancelled.run(until="testSecret")
    lost = stage.password_of("AWSPENDING")
    cancelled.abandon()
    stage.rotation().run()
    assert [] == stage.accepting(lost)
    assert stage.accepting(stage.password) == stage.accepting(stage.password_of("AWSCURRENT")) == stage.ports


def test_a_rotation_that_was_rolled_back(stage: Stage) -> None:
    """AWSCURRENT is the old password again, which works, then and after the next rotation."""
    rotation = stage.rotation()
    rotation.run()
    rotation.rollback()
    stage.rotation().run()
    assert stage.accepting(stage.password) == stage.accepting(stage.password_of("AWSCURRENT")) == stage.ports


def test_a_node_that_missed_a_rotation(stage: Stage) -> None:
    """It was restored from a copy: it has AWSPREVIOUS only, and gets the two of the day."""
    stage.rotation().run()
    stage.admin(stage.ports[1], "ACL", "SETUSER", stage.user, "resetpass", f">{stage.password}")
    current = stage.password_of("AWSCURRENT")
    stage.rotation().run()
    assert stage.accepting(current) == stage.accepting(stage.password_of("AWSCURRENT")) == stage.ports


def test_a_node_that_missed_two_rotations(stage: Stage) -> None:
    """It was restarted with its old users: a version without a label has the password that it knows."""
    for _ in range(2):
        stage.rotation().run()
    stage.admin(stage.ports[1], "ACL", "SETUSER", stage.user, "resetpass", f">{stage.password}")
    current = stage.password_of("AWSCURRENT")
    stage.rotation().run()
    assert stage.accepting(current) == stage.accepting(stage.password_of("AWSCURRENT")) == stage.ports


def test_the_users_rights_stay(stage: Stage) -> None:
    """Only the passwords are others."""

    def rest(described: object) -> dict[object, object]:
        assert isinstance(described, dict)
        return {name: one for name, one in described.items() if name != b"passwords"}

    before = [rest(one) for one in stage.passwords()]
    stage.rotation().run()
    assert before == [rest(one) for one in stage.passwords()]


def test_options_of_a_client_do_not_change_what_the_function_reads(stage: Stage) -> None:
    """Texts in place of bytes are common in applications, whose options a function may have, too."""
    stage.rotation(stage.strategy(decode_responses=True)).run()
    assert stage.ports == stage.accepting(stage.password_of("AWSCURRENT"))


def test_no_password_is_in_a_log(stage: Stage) -> None:
    """The log of slow commands, which has each command here, has no password and no hash."""
    for port in stage.ports:
        stage.admin(port, "CONFIG", "SET", "slowlog-log-slower-than", "0")
    rotation = stage.rotation()
    rotation.run()
    for port in stage.ports:
        stage.admin(port, "CONFIG", "SET", "slowlog-log-slower-than", "10000")
        log = str(stage.admin(port, "SLOWLOG", "GET", "100"))
        assert "SETUSER" in log
        assert stage.password_of("AWSCURRENT") not in log
        assert ADMIN not in log


def test_users_are_saved(stage: Stage) -> None:
    """`save` has each node store its users. If that fails the step fails, and its retry saves."""
    rotation = stage.rotation(stage.strategy(save="acl"))
    with pytest.raises(redis.ResponseError, match="ACL file"):
        rotation.run()
    new = stage.password_of("AWSPENDING")
    assert stage.accepting(new)[:1] == stage.accepting(stage.password)[:1] == stage.ports[:1]
    with pytest.raises(redis.ResponseError, match="ACL file"):
        rotation.retry()
    assert stage.accepting(stage.password) == stage.ports


def test_an_aclfile_has_the_new_password() -> None:
    """After ACL SAVE the file has the hashes, and no password."""
    with folder_for("acl") as folder, mock_aws():
        folder.chmod(0o777)
        file = folder / "users.acl"
        file.write_text(f"user default on >{ADMIN.replace(' ', '')} ~* &* +@all\n")
        file.chmod(0o666)
        with others.redis("--aclfile", str(file)) as port:
            with redis.Redis(host=LOCALHOST, port=port, password=ADMIN.replace(" ", "")) as admin:
                admin.execute_command("ACL", "SETUSER", "default", "resetpass", f">{ADMIN}")
            client = boto3.client("secretsmanager")
            mend_moto(client)
            stage = Stage(client, [port])
            stage.rotation(stage.strategy(save="acl")).run()
            saved = Path(file).read_text("utf-8")
    assert stage.user in saved
    assert "#" in saved
    assert ADMIN not in saved


@pytest.mark.parametrize("what", ["victim", "master", "made up", "nopass", "nobody"])
def test_nobody_elses_user_is_changed(stage: Stage, what: str) -> None:
    """A name with a made-up password is no account, nor is one that any password lets in."""
    victim = f"victim_{uuid.uuid4().hex[:8]}"
    how = ["nopass"] if what == "nopass" else [">the victim's"]
    for port in stage.ports:
        stage.admin(port, "ACL", "SETUSER", victim, "on", *how, "+@all", "~*")
    user = {"master": "root", "made up": stage.user, "nobody": "nobody"}.get(what, victim)
    before = [stage.admin(port, "ACL", "LIST") for port in stage.ports]
    # Of versions of the same user, AWSPREVIOUS and the newest without a label would be a proof.
    for number in range(UNLABELLED_MAX + 1):
        stage.put(username=user, password=ADMIN if what == "master" else f"made up {number}")
    stage.put(username=user, password=ADMIN if what == "master" else "made up too")
    expected = {"master": "the master's own user", "nopass": "needs no password"}.get(what, "a node refuses")
    with pytest.raises(RotationStepError, match=expected) as caught:
        stage.rotation().run()
    assert before == [stage.admin(port, "ACL", "LIST") for port in stage.ports]
    assert "made up" not in str(caught.value)


@pytest.mark.parametrize("place", ["host", "port"])
def test_no_password_goes_where_a_planted_version_points(stage: Stage, place: str) -> None:
    """The secret names another server than the options: nothing is sent to it."""
    received: list[bytes] = []
    with answering(lambda connection: received.append(connection.recv(1000))) as port:
        stage.put(**({"host": "localhost"} if place == "host" else {}), port=port)
        with pytest.raises(RotationStepError, match="differ in host or port"):
            stage.rotation().run()
    assert [] == received


@pytest.mark.parametrize("field", [{"host": "localhost"}, {"port": 1}, {"username": "x"}, {"masterarn": "x"}])
def test_a_planted_pending_version_agrees_in_all_that_matters(stage: Stage, field: dict[str, object]) -> None:
    """AWSPENDING is there before createSecret, for another user or server."""
    rotation = stage.rotation()
    stage.put("AWSPENDING", token=rotation.version_id, password="made up", **field)
    rotation.create()
    with pytest.raises(RotationStepError, match="differ in"):
        rotation.set()
    assert stage.accepting(stage.password) == stage.ports


def test_tls_is_required_unless_the_options_say_otherwise(stage: Stage) -> None:
    """This server has none: nothing is sent in clear, and nothing is changed."""
    strategy = stage.strategy(tls=None, nodes=(), socket_timeout=0.3, socket_connect_timeout=0.3)
    rotation = stage.rotation(strategy)
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        rotation.run()
    rotation.abandon()
    stage.put(ssl=False)
    rotation = stage.rotation(strategy)
    # The app's own secret may say so for its own password; the master's says nothing.
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        rotation.run()
    assert stage.accepting(stage.password) == stage.ports


def test_a_server_with_tls() -> None:
    """The certificate is verified, and only with it are passwords sent."""
    with folder_for("tls") as folder, mock_aws():
        certificate, key = make_certificate(folder)
        for file in (folder, certificate, key):
            file.chmod(0o755)
        tls = free_port()
        words = [
            *("--tls-port", str(tls), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-auth-clients", "no", "--requirepass", ADMIN),
        ]
        with others.redis(*words) as port:
            client = boto3.client("secretsmanager")
            mend_moto(client)
            stage = Stage(client, [port])
            stage.put(port=tls)
            given = {"port": tls, "nodes": (), "tls": None}
            rotation = stage.rotation(stage.strategy(**given, ssl_ca_certs=str(certificate)))
            rotation.run()
            assert stage.accepting(stage.password_of("AWSCURRENT")) == stage.ports
            with pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
                stage.rotation(stage.strategy(**given)).run()


def test_a_secret_does_not_take_tls_from_a_function_whose_options_are_about_it(stage: Stage) -> None:
    """Whoever may put a value of the secret has no password sent in clear: testSecret sends the new one."""
    stage.put(ssl=False)
    rotation = stage.rotation(stage.strategy(nodes=(), tls=False))
    rotation.run(until="setSecret")
    options = {"nodes": (), "tls": None, "socket_timeout": 0.3, "socket_connect_timeout": 0.3}
    answer = stage.client.get_secret_value(SecretId=NAME, VersionStage="AWSPENDING")
    function = RotationFunction(
        stage.strategy(ssl_cert_reqs="required", **options), stage.client, announce=unheard
    )
    event = {"Step": "testSecret", "SecretId": NAME, "ClientRequestToken": answer["VersionId"]}
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        function(event)
    # Without such an option the secret may say so.
    RotationFunction(stage.strategy(**options), stage.client, announce=unheard)(event)


def test_no_frame_of_an_error_holds_a_password(stage: Stage) -> None:
    """A node is down: the error, and the variables of all frames that are keyturn's, hold no password."""
    rotation = stage.rotation(stage.strategy(nodes=[f"{LOCALHOST}:{free_port()}"]))
    with pytest.raises(redis.ConnectionError) as caught:
        rotation.run()
    shown, trace = [str(caught.value)], caught.value.__traceback__
    while trace is not None:
        if "/src/keyturn/rotation" in trace.tb_frame.f_code.co_filename:
            shown.append(repr(trace.tb_frame.f_locals))
        trace = trace.tb_next
    assert len(shown) > 3
    for password in (stage.password, stage.password_of("AWSPENDING"), ADMIN):
        assert not any(password in one for one in shown)
    assert caught.value.__context__ is None


def test_a_wrong_way_to_save_is_refused() -> None:
    """There are two."""
    with pytest.raises(ConfigurationError, match="'acl', 'config'"):
        TwoPasswords(SecretsManagerSource(lambda: boto3.client("secretsmanager")), save="file")  # type: ignore[arg-type] # tried


def test_a_secret_of_another_engine_is_refused(stage: Stage) -> None:
    """A function for Redis has no business there; nor where the secret names no user."""
    stage.put(engine="postgres")
    with pytest.raises(RotationStepError, match="engine"):
        stage.rotation().run()
    stage.put(username="")
    with pytest.raises(SecretFormatError, match="username"):
        stage.rotation().run()
