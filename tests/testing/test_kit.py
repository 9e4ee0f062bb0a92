"""The kit for users: a rotation through the real listener, the events that go astray, the assertions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import boto3
import pytest

from keyturn import AsyncSecretCache, LoginRefusedError, SecretCache
from keyturn.cache.limits import DEFAULTS
from keyturn.testing import STEPS, Rotation, RotationError
from keyturn.testing.account import Account, table_definition
from keyturn.testing.assertions import assert_converges, assert_no_refusals
from keyturn.testing.events import EventBus
from keyturn.testing.fakes import FakeClock
from keyturn.testing.listening import InProcessListener
from keyturn.testing.plugin import MakeSecret
from keyturn.testing.rotating import RotatingSecret, WrongPasswordError, credentials, is_wrong_password
from rotation_listener.events import Ignored, parse

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CANARY = "canary-7Kq2"
CHECK_INTERVAL_S = 5


def log_in(cache: SecretCache, secret: RotatingSecret) -> str:
    """Log in by the bridge; the version that the server took."""
    cache.login(secret.name, secret.server.log_in, is_refused=is_wrong_password)
    return secret.server.logins[-1]


def native(bus: EventBus) -> list[tuple[str, str]]:
    """The native events that were sent: label and version id."""
    details = [one["detail"] for one in bus.sent if one["detail-type"] == "Secret Label Updated"]
    return [(one["labelUpdated"], one["versionId"]) for one in details if isinstance(one, dict)]


def trailed(bus: EventBus) -> list[str]:
    """The names of the CloudTrail events that were sent."""
    details = [one["detail"] for one in bus.sent if "CloudTrail" in str(one["detail-type"])]
    return [str(one["eventName"]) for one in details if isinstance(one, dict)]


def current(cache: SecretCache, secret: RotatingSecret) -> bool:
    """Whether the cache serves the current version, a check later."""
    secret.clock.advance(CHECK_INTERVAL_S)
    return cache.get(secret.name).version_id == secret.current_version_id


# The account


def test_the_table_is_the_templates(keyturn_aws: Account, keyturn_marker_table: str) -> None:
    """Key, attributes and billing are what the template says, and its name is in the environment."""
    described = keyturn_aws.dynamodb.describe_table(TableName=keyturn_marker_table)["Table"]
    definition = table_definition()
    assert definition["KeySchema"] == described["KeySchema"]
    assert definition["AttributeDefinitions"] == described["AttributeDefinitions"]
    assert definition["BillingMode"] == described["BillingModeSummary"]["BillingMode"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_PROFILE", "nobody"),
    ],
)
def test_no_setting_of_the_developer_leads_out(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Clients of the kit and of the code under test ask the addresses that moto answers, as nobody."""
    monkeypatch.setenv(name, value)
    account: Account = request.getfixturevalue("keyturn_aws")
    for service in ("secretsmanager", "dynamodb", "ssm"):
        clients = account.client(service), boto3.client(service)
        assert {f"https://{service}.us-east-1.amazonaws.com"} == {one.meta.endpoint_url for one in clients}
    assert [] == boto3.client("dynamodb").list_tables()["TableNames"]


def test_no_variable_of_the_developer_changes_the_cache(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """It has the defaults: it reports to no table, and assumes no role, whatever the shell says."""
    monkeypatch.setenv("KEYTURN_CONVERGENCE_TABLE", "somebodys-table")
    monkeypatch.setenv("KEYTURN_ROLES", "no ARN")
    cache: SecretCache = request.getfixturevalue("keyturn_cache")
    account: Account = request.getfixturevalue("keyturn_aws")
    make: MakeSecret = request.getfixturevalue("keyturn_rotating_secret")
    secret = make()
    for _ in range(3):
        cache.get(secret.name)
        secret.clock.advance(CHECK_INTERVAL_S)
    assert (False, 0) == (cache.status().reports.used, account.calls.count("PutItem"))


def test_calls_are_counted(
    keyturn_aws: Account, keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache
) -> None:
    """What the cache calls, and nothing of the kit's own: one read, then none while nothing changed."""
    secret = keyturn_rotating_secret()
    assert [] == keyturn_aws.calls
    for _ in range(3):
        keyturn_cache.get(secret.name)
        keyturn_cache.get(secret.name)
        secret.clock.advance(CHECK_INTERVAL_S)
    assert 1 == keyturn_aws.calls.count("GetSecretValue")
    assert keyturn_aws.calls.count("GetItem") >= 2
    secret.rotate()
    keyturn_cache.get(secret.name)
    assert 2 == keyturn_aws.calls.count("GetSecretValue")


def test_the_table_lives_by_the_tests_clock(
    keyturn_rotating_secret: MakeSecret,
    keyturn_cache: SecretCache,
    keyturn_clock: FakeClock,
    keyturn_listener: InProcessListener,
) -> None:
    """Covered while sweeps come, uncovered when none has for the lease, though no real second passed."""
    secret = keyturn_rotating_secret()

    def covered() -> bool:
        keyturn_clock.advance(CHECK_INTERVAL_S)
        keyturn_cache.get(secret.name)
        return keyturn_cache.status().secrets[0].covered

    keyturn_cache.get(secret.name)
    assert covered()
    keyturn_clock.advance(1300)
    assert not covered()
    keyturn_listener.sweep()
    assert covered()


# A rotation


def test_a_rotation_step_by_step(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """The server takes the new password at setSecret, AWSCURRENT moves at finishSecret, the cache follows."""
    secret = keyturn_rotating_secret()
    first = secret.current_version_id
    assert first == log_in(keyturn_cache, secret)
    rotation = secret.rotation()
    rotation.create()
    assert first == log_in(keyturn_cache, secret)
    rotation.set()
    assert rotation.version_id == log_in(keyturn_cache, secret)
    assert [first] == secret.server.refused
    rotation.test()
    assert first == secret.current_version_id
    rotation.finish()
    assert rotation.version_id == secret.current_version_id
    assert assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S) <= CHECK_INTERVAL_S
    assert rotation.version_id == log_in(keyturn_cache, secret)


def test_alternating_users_are_never_refused(
    keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache
) -> None:
    """The old user keeps its password for a rotation, so a copy of before logs in at every step."""
    secret = keyturn_rotating_secret(strategy="alternating-users")
    for user in ("app_clone", "app"):
        rotation = secret.rotation()
        for step in (rotation.create, rotation.set, rotation.test, rotation.finish):
            step()
            log_in(keyturn_cache, secret)
        assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)
        assert user == credentials(keyturn_cache.get(secret.name).text())[0]
    assert_no_refusals(secret)


def test_a_cache_for_tasks_converges(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """It is judged by the copies that it shares with its `sync`."""
    secret, cache = keyturn_rotating_secret(), AsyncSecretCache(keyturn_cache)
    keyturn_cache.get(secret.name)
    secret.rotate()
    assert 0 < assert_converges(cache, secret, within_s=CHECK_INTERVAL_S) <= CHECK_INTERVAL_S


def test_text_is_a_password(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """A value that is no JSON object stays text in a rotation."""
    secret = keyturn_rotating_secret("prod/token", "first")
    log_in(keyturn_cache, secret)
    secret.rotate()
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)
    assert "rotated-1" == keyturn_cache.get(secret.name).text()
    log_in(keyturn_cache, secret)
    assert_no_refusals(secret)


def test_fail_after_a_step_and_retry(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """A rotation that fails after setSecret leaves a server that only AWSPENDING opens; a retry ends it."""
    secret = keyturn_rotating_secret()
    first = log_in(keyturn_cache, secret)
    rotation = secret.rotation()
    rotation.fail_after("setSecret")
    assert ("createSecret", "setSecret") == rotation.done
    assert first == secret.current_version_id
    assert rotation.version_id == log_in(keyturn_cache, secret)
    rotation.retry()
    assert rotation.version_id == secret.current_version_id
    with pytest.raises(RotationError, match="no step follows"):
        secret.rotation().fail_after("finishSecret")


def test_abandon(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """After an abandoned setSecret no label names what the server takes: no login is possible."""
    secret = keyturn_rotating_secret()
    log_in(keyturn_cache, secret)
    rotation = secret.rotation()
    rotation.fail_after("setSecret")
    rotation.abandon()
    with pytest.raises(LoginRefusedError):
        log_in(keyturn_cache, secret)


def test_rollback(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """AWSCURRENT goes back to an older version; the cache follows when the answers have settled."""
    secret = keyturn_rotating_secret()
    first = keyturn_cache.get(secret.name).version_id
    rotation = secret.rotate()
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)
    rotation.rollback()
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S + DEFAULTS.settle_s)
    assert first == keyturn_cache.get(secret.name).version_id


def test_a_put_outside_any_rotation(keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache) -> None:
    """It moves AWSCURRENT, the event says so, and the server does not know the value."""
    secret = keyturn_rotating_secret("prod/token", "first")
    log_in(keyturn_cache, secret)
    version_id = secret.put("typed by hand")
    assert version_id == secret.current_version_id
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)
    with pytest.raises(WrongPasswordError):
        secret.server.log_in(keyturn_cache.get(secret.name))
    with pytest.raises(
        AssertionError, match=f"'prod/token': 1 logins were refused, with versions {version_id}"
    ):
        assert_no_refusals(secret)


def test_labels_are_as_in_aws(keyturn_aws: Account, keyturn_rotating_secret: MakeSecret) -> None:
    """Clients of the account have moto's mistakes mended: a read without a stage, and a put, after a move."""
    secret = keyturn_rotating_secret("prod/token", "first")
    client = cast("SecretsManagerClient", keyturn_aws.client("secretsmanager"))
    rotation = secret.rotate()
    assert rotation.version_id == client.get_secret_value(SecretId=secret.name)["VersionId"]
    third = secret.put("third")
    listed = client.describe_secret(SecretId=secret.name)["VersionIdsToStages"]
    assert {third: ["AWSCURRENT"], rotation.version_id: ["AWSPREVIOUS"]} == {
        version_id: labels for version_id, labels in listed.items() if labels
    }


def test_a_rotation_function_of_ones_own(
    keyturn_aws: Account,
    keyturn_rotating_secret: MakeSecret,
    keyturn_cache: SecretCache,
    keyturn_listener: InProcessListener,
) -> None:
    """It gets Lambda's events with the ARN, calls AWS by a client of its own, and its moves are told."""
    secret = keyturn_rotating_secret("prod/token", "first")
    client = cast("SecretsManagerClient", keyturn_aws.client("secretsmanager"))
    seen: list[str] = []

    def function(event: dict[str, str], _context: object) -> None:
        seen.append(event["Step"])
        arn, token = event["SecretId"], event["ClientRequestToken"]
        match event["Step"]:
            case "createSecret":
                client.put_secret_value(
                    SecretId=arn, ClientRequestToken=token, SecretString="own", VersionStages=["AWSPENDING"]
                )
            case "setSecret":
                secret.server.change("own")
            case "finishSecret":
                client.update_secret_version_stage(
                    SecretId=arn,
                    VersionStage="AWSCURRENT",
                    MoveToVersionId=token,
                    RemoveFromVersionId=secret.current_version_id,
                )

    log_in(keyturn_cache, secret)
    rotation = secret.rotation(function)
    rotation.run()
    assert list(STEPS) == seen
    assert [("AWSCURRENT", rotation.version_id)] == native(keyturn_listener.bus)
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)
    assert rotation.version_id == log_in(keyturn_cache, secret)
    assert_no_refusals(secret)


# Events


def test_the_native_event(keyturn_rotating_secret: MakeSecret, keyturn_listener: InProcessListener) -> None:
    """One for the move of AWSCURRENT, none for AWSPENDING and AWSPREVIOUS; one for a roll-back."""
    secret = keyturn_rotating_secret()
    first = secret.current_version_id
    rotation = secret.rotation()
    rotation.run(until="testSecret")
    assert [] == keyturn_listener.bus.sent
    rotation.finish()
    rotation.rollback()
    assert [("AWSCURRENT", rotation.version_id), ("AWSCURRENT", first)] == native(keyturn_listener.bus)
    assert [] == trailed(keyturn_listener.bus)


def test_cloudtrail_if_asked(
    keyturn_rotating_secret: MakeSecret, keyturn_listener: InProcessListener
) -> None:
    """The calls of the rotation function and the service's own events, in order."""
    secret = keyturn_rotating_secret()
    secret.rotation(cloudtrail=True).run()
    assert [
        "RotationStarted",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "UpdateSecretVersionStage",
        "RotationSucceeded",
    ] == trailed(keyturn_listener.bus)
    assert 1 == len(native(keyturn_listener.bus))


@pytest.mark.parametrize(
    ("end", "name"), [(Rotation.abandon, "RotationAbandoned"), (Rotation.retry, "RotationSucceeded")]
)
def test_cloudtrail_of_what_fails(
    keyturn_rotating_secret: MakeSecret, keyturn_listener: InProcessListener, end: object, name: str
) -> None:
    """A failure is told, and how it ended."""
    rotation = keyturn_rotating_secret().rotation(cloudtrail=True)
    rotation.fail_after("testSecret")
    assert "RotationFailed" == trailed(keyturn_listener.bus)[-1]
    end(rotation)  # type: ignore[operator] # a method
    assert name == trailed(keyturn_listener.bus)[-1]


def test_cloudtrail_of_a_function_that_raises(
    keyturn_rotating_secret: MakeSecret, keyturn_listener: InProcessListener
) -> None:
    """Its error passes through, and Secrets Manager tells that the rotation failed."""

    def function(_event: dict[str, str], _context: object) -> None:
        raise WrongPasswordError("of the administrator")

    with pytest.raises(WrongPasswordError, match="administrator"):
        keyturn_rotating_secret().rotation(function, cloudtrail=True).create()
    assert ["RotationStarted", "RotationFailed"] == trailed(keyturn_listener.bus)


def test_every_event_is_one_that_the_listener_reads(
    keyturn_rotating_secret: MakeSecret, keyturn_listener: InProcessListener
) -> None:
    """All name the secret by its ARN, none is ignored, and none has a value."""
    secret = keyturn_rotating_secret("prod/db", {"username": "app", "password": CANARY})
    rotation = secret.rotation(cloudtrail=True)
    rotation.fail_after("setSecret")
    rotation.retry()
    rotation.rollback()
    secret.put(CANARY)
    assert len(keyturn_listener.bus.sent) > 8
    for event in keyturn_listener.bus.sent:
        hint = parse(event)
        assert not isinstance(hint, Ignored)
        assert secret.arn == getattr(hint, "secret_id", None)
    assert CANARY not in json.dumps(keyturn_listener.bus.sent)


def test_lost_events(
    keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache, keyturn_listener: InProcessListener
) -> None:
    """Nothing is noticed, which the assertion says with both ids, until the sweep finds it."""
    secret = keyturn_rotating_secret()
    first = keyturn_cache.get(secret.name).version_id
    keyturn_cache.get(secret.name)
    with keyturn_listener.bus.dropping():
        new = secret.rotate().version_id
    with pytest.raises(AssertionError, match=f"'prod/db': {first} is still served after 60 s, .* is {new}"):
        assert_converges(keyturn_cache, secret, within_s=60)
    keyturn_listener.sweep()
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)


def test_doubled_events(
    keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache, keyturn_listener: InProcessListener
) -> None:
    """The second delivery changes nothing: one read of the new version."""
    delivered: list[object] = []
    bus = EventBus(delivered.append)
    with bus.doubling():
        bus.send({"detail": "one"})
    bus.send({"detail": "two"})
    assert [{"detail": "one"}, {"detail": "one"}, {"detail": "two"}] == delivered
    secret = keyturn_rotating_secret()
    keyturn_cache.get(secret.name)
    with keyturn_listener.bus.doubling():
        secret.rotate()
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)


def test_late_events_in_the_wrong_order(
    keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache, keyturn_listener: InProcessListener
) -> None:
    """Held events wait for their release; delivered last first, they still lead to what is current."""
    secret = keyturn_rotating_secret()
    keyturn_cache.get(secret.name)
    with keyturn_listener.bus.holding():
        secret.rotate()
        secret.rotate()
    assert not current(keyturn_cache, secret)
    assert 2 == len(keyturn_listener.bus.held)
    keyturn_listener.bus.release(reversed)
    assert_converges(keyturn_cache, secret, within_s=CHECK_INTERVAL_S)
    assert [] == keyturn_listener.bus.held


def test_the_order_of_release() -> None:
    """As they came, or as the caller wants."""
    delivered: list[object] = []
    bus = EventBus(delivered.append)
    for order in (iter, reversed):
        with bus.holding():
            bus.send({"n": 1})
            bus.send({"n": 2})
        bus.release(order)
    assert [{"n": 1}, {"n": 2}, {"n": 2}, {"n": 1}] == delivered


# Secrecy


@pytest.mark.proof
def test_nothing_shows_a_value(
    keyturn_rotating_secret: MakeSecret, keyturn_cache: SecretCache, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither objects nor errors of the kit have the value that they were given."""
    secret = keyturn_rotating_secret("prod/token", CANARY)
    keyturn_cache.get(secret.name)
    secret.put("another")
    secret.clock.advance(CHECK_INTERVAL_S)
    unknown = keyturn_cache.get(secret.name)
    with pytest.raises(WrongPasswordError) as refused:
        secret.server.log_in(unknown)
    with pytest.raises(AssertionError) as failed:
        assert_no_refusals(secret)
    shown = f"{secret!r} {secret.rotation()!r} {secret.server!r} {refused.value} {failed.value}"
    assert CANARY not in shown + capsys.readouterr().out
    assert "another" not in shown
