"""When the credential of AWSPREVIOUS ends: the step "retireSecret", and what the reports can do to it."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from keyturn import ConfigurationError, Metric, SecretVersion
from keyturn.convergence.counting import Convergence, Holders
from keyturn.convergence.table import ConvergenceTable
from keyturn.model.markers import Report
from keyturn.model.names import secret_key
from keyturn.rotation import Retirement, RotationFunction, RotationStepError
from keyturn.rotation.retirement import decision_at
from keyturn.testing import RecordedMetrics, Rotation
from keyturn.testing.fakes import FakeClock
from keyturn.testing.moto import mend_moto

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

TABLE = "fleet"
EARLIEST_S, LATEST_S = 900.0, 86_400.0


@dataclass
class Server:
    """A strategy, and the server itself: it lets in the passwords of its set."""

    accepted: set[str]
    retired: int = 0

    def renew(self, current: SecretVersion, password: str) -> str:
        return json.dumps({"password": password})

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        self.accepted = {password_of(pending), password_of(known[0])}

    def test(self, pending: SecretVersion) -> None:
        assert password_of(pending) in self.accepted

    def retire(self, known: Sequence[SecretVersion], others: Iterator[SecretVersion]) -> None:
        self.retired += 1
        self.accepted = {password_of(known[0])}
        assert password_of(known[0]) not in [password_of(other) for other in others]


class OneCredential:
    """A strategy with one credential: there is nothing to take away."""

    def renew(self, current: SecretVersion, password: str) -> str:
        return json.dumps({"password": password})

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None: ...

    def test(self, pending: SecretVersion) -> None: ...


def password_of(version: SecretVersion) -> str:
    """The password of a version."""
    return version.fields()["password"]


@dataclass
class Scene:
    """A secret that was rotated once, its server, its fleet's reports, and a clock."""

    client: SecretsManagerClient
    dynamodb: DynamoDBClient
    clock: FakeClock = field(default_factory=lambda: FakeClock(time.time()))
    metrics: RecordedMetrics = field(default_factory=RecordedMetrics)
    table: str | None = TABLE

    def __post_init__(self) -> None:
        self.name = f"prod/{uuid.uuid4()}"
        self.event = {"Step": "retireSecret", "SecretId": self.name}
        self.arn = self.client.create_secret(Name=self.name, SecretString=json.dumps({"password": "one"}))[
            "ARN"
        ]
        self.client.rotate_secret(
            SecretId=self.name, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )
        self.server = Server({"one"})
        self.rotate()

    @property
    def function(self) -> RotationFunction:
        retirement = Retirement(
            convergence_table=self.table,
            earliest_s=EARLIEST_S,
            latest_s=LATEST_S,
            client=self.dynamodb,
            metrics=self.metrics,
            clock=self.clock,
        )
        return RotationFunction(self.server, self.client, announce=unheard, retirement=retirement)

    def rotation(self) -> Rotation:
        return Rotation(self.client, self.name, self.function)

    def rotate(self) -> None:
        self.rotation().run()

    def retire(self) -> bool:
        """Ask for the retirement; return whether it took place."""
        said = self.function(self.event)
        assert said is not None
        return said["retired"] is True

    def id_of(self, label: str) -> str:
        return self.client.get_secret_value(SecretId=self.name, VersionStage=label)["VersionId"]

    def report(self, environment: str, label: str, *, ahead_s: float = 0) -> None:
        """Let an environment report the version with this label."""
        now_s = time.time()
        held = {secret_key(self.arn, self.name): self.id_of(label)}
        report = Report(environment, held, now_s + ahead_s, now_s + ahead_s + 900, "orders")
        ConvergenceTable(self.dynamodb, TABLE).write(report)

    def password(self) -> str:
        text = self.client.get_secret_value(SecretId=self.name, VersionStage="AWSCURRENT")["SecretString"]
        password: str = json.loads(text)["password"]
        return password

    def old_works(self) -> bool:
        return "one" in self.server.accepted


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[SecretsManagerClient, DynamoDBClient]]:
    """Secrets Manager and DynamoDB."""
    with mock_aws():
        client, dynamodb = boto3.client("secretsmanager"), boto3.client("dynamodb")
        mend_moto(client)
        yield client, dynamodb


@pytest.fixture
def scene(clients: tuple[SecretsManagerClient, DynamoDBClient]) -> Iterator[Scene]:
    """A secret whose AWSPREVIOUS is let in as well, and an empty table."""
    _, dynamodb = clients
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield Scene(*clients)
    dynamodb.delete_table(TableName=TABLE)


def test_the_old_credential_works_until_the_last_environment_reports(scene: Scene) -> None:
    """One environment stays behind: the old password works. As soon as it reports the new one it does not."""
    scene.report("a", "AWSCURRENT")
    scene.report("b", "AWSPREVIOUS")
    scene.clock.advance(EARLIEST_S + 10)
    assert not scene.retire()
    assert scene.old_works()
    scene.report("b", "AWSCURRENT")
    assert scene.retire()
    assert not scene.old_works()
    assert scene.server.accepted == {scene.password()}


def test_the_old_credential_works_until_the_time_is_over(scene: Scene) -> None:
    """An environment that never reports the new version keeps the old password no longer than that."""
    scene.report("a", "AWSCURRENT")
    scene.report("b", "AWSPREVIOUS")
    scene.clock.advance(LATEST_S - 60)
    assert not scene.retire()
    assert scene.old_works()
    scene.clock.advance(70)
    assert scene.retire()
    assert not scene.old_works()


@pytest.mark.parametrize("forged", ["everybody is on AWSCURRENT", "no report", "no table"])
def test_no_report_brings_the_end_forward(scene: Scene, forged: str) -> None:
    """Whatever the table says, the old password works until the earliest time, as it does without a table."""
    if forged == "everybody is on AWSCURRENT":
        scene.report("forged", "AWSCURRENT")
    if forged == "no table":
        scene.table = None
    scene.clock.advance(EARLIEST_S - 60)
    assert not scene.retire()
    assert scene.old_works()
    scene.clock.advance(70)
    assert scene.retire() is (forged != "no report")


@pytest.mark.parametrize("trouble", ["a flood", "a report from tomorrow", "no report", "no such table"])
def test_no_report_keeps_a_credential_for_ever(scene: Scene, trouble: str) -> None:
    """Forged and missing reports, and a table that fails, delay the end up to the latest time."""
    if trouble == "no such table":
        scene.table = "another"
    for number in range(30 if trouble == "a flood" else 0):
        scene.report(f"forged {number}", "AWSPREVIOUS")
    if trouble == "a report from tomorrow":
        scene.report("forged", "AWSPREVIOUS", ahead_s=86_000)
    scene.clock.advance(EARLIEST_S + 10)
    assert not scene.retire()
    scene.clock.advance(LATEST_S)
    assert scene.retire()
    assert not scene.old_works()


def test_what_is_kept_is_logged_and_measured(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the versions that are held and the time that is left; a metric counts the looks."""
    caplog.set_level(logging.INFO, "keyturn")
    scene.report("a", "AWSPREVIOUS")
    assert not scene.retire()
    assert [] == scene.metrics.told
    scene.clock.advance(EARLIEST_S + 10)
    assert not scene.retire()
    assert f"1 on '{scene.id_of('AWSPREVIOUS')}'" in caplog.text
    assert "WARNING" == caplog.records[-1].levelname
    assert [1] == scene.metrics.of(Metric.RETIREMENTS_HELD)
    scene.report("a", "AWSCURRENT")
    assert scene.retire()
    assert "was taken away: all environments that report the secret hold AWSCURRENT" in caplog.text
    assert [1] == scene.metrics.of(Metric.RETIREMENTS)
    assert scene.password() not in caplog.text


def test_a_rotation_under_way_takes_it_away_itself(scene: Scene) -> None:
    """Between createSecret and finishSecret nothing is retired, not even late."""
    scene.clock.advance(LATEST_S + 10)
    rotation = scene.rotation()
    for step in ("createSecret", "setSecret", "testSecret"):
        rotation.run(until=step)
        assert not scene.retire()
    assert 0 == scene.server.retired
    rotation.run()
    assert not scene.old_works()


def test_a_rotation_that_begins_meanwhile_keeps_its_password(scene: Scene) -> None:
    """The retirement took away what setSecret had just set: it is set again."""
    scene.clock.advance(LATEST_S + 10)
    rotation, retire = scene.rotation(), scene.server.retire

    def slow(known: Sequence[SecretVersion], others: Iterator[SecretVersion]) -> None:
        rotation.run(until="setSecret")
        retire(known, others)

    scene.server.retire = slow  # type: ignore[method-assign] # a rotation in between
    assert scene.retire()
    rotation.run()
    assert scene.password() in scene.server.accepted


def test_a_rotation_that_begins_meanwhile_keeps_its_password_after_a_failure(scene: Scene) -> None:
    """The retirement failed after it had taken away what setSecret had just set."""
    scene.clock.advance(LATEST_S + 10)
    rotation, retire = scene.rotation(), scene.server.retire

    def half(known: Sequence[SecretVersion], others: Iterator[SecretVersion]) -> None:
        rotation.run(until="setSecret")
        retire(known, others)
        raise TimeoutError("no answer")

    scene.server.retire = half  # type: ignore[method-assign] # a rotation in between
    with pytest.raises(TimeoutError, match="no answer"):
        scene.retire()
    rotation.run()
    assert scene.password() in scene.server.accepted


def test_a_rotation_that_has_ended_meanwhile_keeps_both_passwords(scene: Scene) -> None:
    """What is AWSPREVIOUS by then was AWSCURRENT when the time was judged: everybody may hold it."""
    scene.clock.advance(LATEST_S + 10)
    held = scene.password()
    wall = scene.clock.wall

    def rotated() -> float:
        scene.clock.wall = wall  # type: ignore[method-assign] # once
        scene.rotate()
        return wall()

    scene.clock.wall = rotated  # type: ignore[method-assign] # a rotation after DescribeSecret
    assert not scene.retire()
    assert {held, scene.password()} == scene.server.accepted
    assert 0 == scene.server.retired


def test_a_secret_without_a_previous_version(scene: Scene) -> None:
    """There is nothing to take away."""
    scene.client.update_secret_version_stage(
        SecretId=scene.name, VersionStage="AWSPREVIOUS", RemoveFromVersionId=scene.id_of("AWSPREVIOUS")
    )
    scene.clock.advance(LATEST_S + 10)
    assert not scene.retire()
    assert 0 == scene.server.retired


def test_another_functions_secret_is_left_alone(scene: Scene) -> None:
    """The step is for secrets that this function rotates."""
    scene.client.create_secret(Name="prod/other", SecretString=json.dumps({"password": "one"}))
    with pytest.raises(RotationStepError, match="rotation is not enabled"):
        scene.function({"Step": "retireSecret", "SecretId": "prod/other"})
    assert 0 == scene.server.retired


@pytest.mark.parametrize("lacks", ["a Retirement", "two credentials"])
def test_a_function_that_cannot_retire_says_so(scene: Scene, lacks: str) -> None:
    """Without a Retirement, or with a strategy of one credential, the step is an error."""
    strategy = scene.server if lacks == "a Retirement" else OneCredential()
    retirement = None if lacks == "a Retirement" else Retirement()
    function = RotationFunction(strategy, scene.client, announce=unheard, retirement=retirement)
    with pytest.raises(RotationStepError, match="takes nothing away between rotations"):
        function(scene.event)


@pytest.mark.parametrize(
    "wrong",
    [{"earliest_s": 0.0}, {"earliest_s": 10.0, "latest_s": 9.0}, {"latest_s": float("inf")}],
)
def test_times_that_cannot_work(wrong: dict[str, float]) -> None:
    """The latest time is not before the earliest, and there is one."""
    with pytest.raises(ConfigurationError, match="earliest_s"):
        Retirement(**wrong)  # type: ignore[arg-type] # durations


def test_an_empty_table_is_no_table() -> None:
    """A variable that is not set must not mean that nobody is asked."""
    with pytest.raises(ConfigurationError, match="convergence_table is empty"):
        Retirement(convergence_table="")


FLEETS = st.dictionaries(st.sampled_from(["v1", "v2", "v3"]), st.integers(1, 10**6)).map(
    lambda held: Convergence("key", "v2", tuple(Holders(*one, {}, 0.0) for one in held.items()))
)


@given(age_s=st.floats(0, 2 * LATEST_S), fleet=st.sampled_from([None, "no answer"]) | FLEETS)
def test_reports_decide_only_between_the_two_times(age_s: float, fleet: Convergence | str | None) -> None:
    """Before the earliest time nothing ends, after the latest everything does, whatever is reported."""
    is_due = decision_at(age_s, EARLIEST_S, LATEST_S, fleet).is_due
    if EARLIEST_S <= age_s < LATEST_S:
        is_free = isinstance(fleet, Convergence) and [one.version_id for one in fleet.holders] == ["v2"]
        assert is_due is (fleet is None or is_free)
    else:
        assert is_due is (age_s >= LATEST_S)


def test_the_names_of_forged_versions_stay_in_their_line() -> None:
    """A report is anybody's text: it ends no line of the log, and many of them make it no longer."""
    forged = Holders("x\n2026 ERROR all is lost", 1, {}, 0.0)
    many = tuple(Holders(str(uuid.uuid4()), 1, {}, 0.0) for _ in range(1000))
    fleet = Convergence("key", "v2", (forged, *many))
    decision = decision_at(EARLIEST_S, EARLIEST_S, LATEST_S, fleet)
    assert "\n" not in decision.why
    assert len(decision.why) < 1000
