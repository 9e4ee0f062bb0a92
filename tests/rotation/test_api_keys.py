"""API keys: the program of docs/rotation-functions.md, against an API on a real socket."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import boto3
import httpx
import pytest
from moto import mock_aws

from keyturn import ConfigurationError, SecretFormatError
from keyturn.rotation import Retirement, RotationFunction, RotationStepError
from keyturn.rotation.apikeys import ApiKeys, IssuedKey
from keyturn.testing import Rotation
from keyturn.testing.fakes import FakeClock
from keyturn.testing.moto import mend_moto
from keyturn.testing.rotation import STEPS, Step, move_current
from tests.docs.pages import python_blocks
from tests.rotation.key_api import ADMIN, KeyService

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NAME = "prod/api"
PROGRAM = next(block for block in python_blocks("docs/rotation-functions.md") if "ApiKeys(" in block)


class CrashError(BaseException):
    """The function's environment died, so no code of it goes on."""


@dataclass
class Stage:
    """A secret with a key of the API, and the page's rotation function."""

    client: SecretsManagerClient
    service: KeyService
    handler: RotationFunction
    names: Mapping[str, object]

    def rotation(self, handler: Callable[[dict[str, str], object], object] | None = None) -> Rotation:
        return Rotation(self.client, NAME, handler or self.handler)

    def key(self, label: str = "AWSCURRENT") -> tuple[str, str]:
        answer = self.client.get_secret_value(SecretId=NAME, VersionStage=label)
        value = json.loads(answer["SecretString"])
        return value["id"], value["value"]

    def accepts(self, value: str) -> bool:
        headers = {"Authorization": f"Bearer {value}"}
        return httpx.get(f"{self.service.origin}/keys/me", headers=headers).status_code == 200

    def put(self, *labels: str, token: str | None = None, **fields: object) -> None:
        """Put a version by hand."""
        self.client.put_secret_value(
            SecretId=NAME,
            SecretString=json.dumps(fields),
            VersionStages=list(labels) or ["AWSCURRENT"],
            ClientRequestToken=token or str(uuid.uuid4()),
        )

    def assert_only(self, *labels: str) -> None:
        """The API takes the keys of these versions, the account's, and no other."""
        assert {self.key(label)[0] for label in labels} | {"admin"} == self.service.keys.keys()
        assert all(self.accepts(self.key(label)[1]) for label in labels)


@pytest.fixture(scope="module", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Let all clients of httpx share what each would read anew; no server here has a certificate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(params=[True], ids=["idempotent"])
def service(request: pytest.FixtureRequest) -> Iterator[KeyService]:
    """An API that issues keys."""
    with KeyService(is_idempotent=request.param).running() as service:
        service.keys["admin"] = ADMIN
        yield service


@pytest.fixture
def stage(service: KeyService) -> Iterator[Stage]:
    """A secret with a key that the API takes, and the program of the page."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        mend_moto(client)
        client.create_secret(Name="prod/api-admin", SecretString=ADMIN)
        key_id, value = service.new_key()
        client.create_secret(
            Name=NAME, SecretString=json.dumps({"id": key_id, "value": value, "team": "orders"})
        )
        client.rotate_secret(
            SecretId=NAME, RotationRules={"AutomaticallyAfterDays": 30}, RotateImmediately=False
        )
        names: dict[str, object] = {}
        program = PROGRAM.replace("https://api.example.com", service.origin)
        exec(compile(program, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
        strategy = ApiKeys(names["keys"])  # type: ignore[arg-type] # the page's
        yield Stage(client, service, RotationFunction(strategy, client, announce=unheard), names)
        names["keys"].admin.close()  # type: ignore[attr-defined] # the page's


def unheard(secret_id: str, *, version_id: str, step: str) -> None:
    """Announce nothing."""


def test_the_page_runs(stage: Stage) -> None:
    """The page's own handler rotates the key, and only the two keys of the labels are left."""
    before = stage.key()
    stage.rotation(stage.names["lambda_handler"]).run()  # type: ignore[arg-type] # a handler
    assert before == stage.key("AWSPREVIOUS")
    assert before != stage.key()
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")
    assert "orders" == json.loads(stage.client.get_secret_value(SecretId=NAME)["SecretString"])["team"]


def test_no_key_of_a_label_is_ever_refused(stage: Stage) -> None:
    """Both keys work after each step of four rotations. The one before AWSPREVIOUS goes at the next."""
    keys = [stage.key()]
    for number in range(4):
        rotation = stage.rotation()
        for step in STEPS:
            rotation.run(until=step)
            assert stage.accepts(stage.key()[1])
            if number:
                assert stage.accepts(stage.key("AWSPREVIOUS")[1])
        keys.append(stage.key())
        alive = {key_id for key_id, _ in keys[-3:]}
        assert alive | {"admin"} == stage.service.keys.keys()


@pytest.mark.parametrize("step", STEPS)
def test_a_rotation_that_stopped_is_run_again(stage: Stage, step: Step) -> None:
    """Stopped after each step, with a whole rotation again: one key is issued, and it is current."""
    rotation = stage.rotation()
    rotation.run(until=step)
    rotation.retry()
    assert 1 == stage.service.calls["POST"]
    assert stage.service.issued[rotation.version_id] == stage.key()[0]
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


@pytest.mark.parametrize("step", STEPS)
def test_each_step_twice(stage: Stage, step: Step) -> None:
    """A step that is asked for twice does its part once."""

    def twice(event: dict[str, str], context: object) -> None:
        for _ in range(2 if event["Step"] == step else 1):
            stage.handler(event, context)

    stage.rotation(twice).run()
    assert 1 == stage.service.calls["POST"]
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


def crash_after_the_call(stage: Stage, name: str) -> None:
    """Let the environment die once, after the next call of this name."""
    left = [True]

    def die(**_call: object) -> None:
        if left and left.pop():
            raise CrashError

    stage.client.meta.events.register(f"after-call.secrets-manager.{name}", die)


@pytest.mark.parametrize("call", ["PutSecretValue", "ListSecretVersionIds", "UpdateSecretVersionStage"])
def test_a_crash_after_a_call(stage: Stage, call: str) -> None:
    """The key was stored, or is about to be issued, or is current: there is one key for the token."""
    crash_after_the_call(stage, call)
    rotation = stage.rotation()
    with pytest.raises(CrashError):
        rotation.run()
    rotation.retry()
    assert 1 == stage.service.calls["POST"]
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


def test_a_crash_between_the_key_and_its_version(stage: Stage) -> None:
    """The token is passed on as idempotency key, so the API gives the same key again."""
    left = [True]

    def die(**_call: object) -> None:
        if left and left.pop():
            raise CrashError

    stage.client.meta.events.register("before-call.secrets-manager.PutSecretValue", die)
    rotation = stage.rotation()
    with pytest.raises(CrashError):
        rotation.run()
    rotation.retry()
    assert 2 == stage.service.calls["POST"]
    assert {rotation.version_id} == stage.service.issued.keys()
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


@pytest.mark.parametrize("service", [True, False], ids=["idempotent", "not"], indirect=True)
def test_two_calls_at_once(stage: Stage) -> None:
    """The first has its key, and has not stored it, when the second does all of createSecret."""
    rotation = stage.rotation()
    event = {"Step": "createSecret", "SecretId": NAME, "ClientRequestToken": rotation.version_id}
    left = [True]

    def overtake(**_call: object) -> object:
        if not (left and left.pop()):
            return None
        stage.handler(event, None)
        if stage.service.is_idempotent:
            return None
        # moto would replace the value of AWSPENDING. AWS answers so to another value for the same token.
        refused = {"Code": "ResourceExistsException", "Message": "already in use"}
        return SimpleNamespace(status_code=400), {"Error": refused, "ResponseMetadata": {}}

    register = stage.client.meta.events.register
    # botocore takes what the hook returns for the answer. Its stubs do not say so.
    register("before-call.secrets-manager.PutSecretValue", overtake)  # type: ignore[arg-type]
    rotation.run()
    assert 2 == stage.service.calls["POST"]
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


@pytest.mark.parametrize("step", STEPS[:3])
def test_a_cancelled_rotation(stage: Stage, step: Step) -> None:
    """The old keys work on, and the next rotation revokes the key of the one that was cancelled."""
    stage.rotation().run()
    cancelled = stage.rotation()
    cancelled.run(until=step)
    lost = stage.key("AWSPENDING")
    cancelled.abandon()
    assert stage.accepts(stage.key()[1])
    stage.rotation().run()
    assert not stage.accepts(lost[1])
    assert stage.accepts(stage.key("AWSPREVIOUS")[1])


def test_a_rotation_that_was_rolled_back(stage: Stage) -> None:
    """AWSCURRENT and AWSPREVIOUS change places. Both keys work, then and after the next rotations."""
    rotation = stage.rotation()
    rotation.run()
    rotation.rollback()
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")
    for _ in range(2):
        stage.rotation().run()
        assert stage.accepts(stage.key()[1])
        assert stage.accepts(stage.key("AWSPREVIOUS")[1])


@pytest.mark.parametrize("failing", ["DELETE", "GET"])
def test_a_failed_revoke_fails_no_rotation(
    stage: Stage, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The old key lives on, a line of the log says so without a value, and the next rotation revokes it."""
    first = stage.key()
    stage.rotation().run()
    stage.rotation().run()
    rotation = stage.rotation()
    stage.service.failing = {failing}
    with caplog.at_level(logging.INFO, "keyturn"):
        rotation.create()
    stage.service.failing = set()
    rotation.run()
    assert stage.accepts(first[1])
    assert "a key of prod/api that nobody uses was not revoked: HTTPStatusError" in caplog.text
    assert first[1] not in caplog.text
    stage.rotation().run()
    assert not stage.accepts(first[1])


def test_versions_that_may_not_be_listed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Without that permission keys are rotated, and none is revoked."""

    def denied(**_call: object) -> None:
        raise PermissionError("denied")

    stage.client.meta.events.register("before-call.secrets-manager.ListSecretVersionIds", denied)
    for _ in range(3):
        stage.rotation().run()
    assert 3 == caplog.text.count("was not revoked: PermissionError")
    assert 5 == len(stage.service.keys)


def test_a_failed_issue_changes_nothing(stage: Stage) -> None:
    """The step fails with the API's own error, and a retry goes on."""
    stage.service.failing = {"POST"}
    rotation = stage.rotation()
    with pytest.raises(httpx.HTTPStatusError):
        rotation.create()
    stage.assert_only("AWSCURRENT")
    stage.service.failing = set()
    rotation.retry()
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


def test_nobody_elses_key_is_revoked(stage: Stage) -> None:
    """Who may put values plants the id of a victim's key, with a key that he has, or with a made-up one."""
    victim, own = stage.service.new_key(), stage.service.new_key()
    for value in (own[1], "made up"):
        stage.put(id=victim[0], value=value)
        stage.put(id=own[0], value=own[1])
        for _ in range(4):
            stage.rotation().run()
        assert stage.accepts(victim[1])


def test_the_key_of_a_label_is_kept_though_an_old_version_has_it(stage: Stage) -> None:
    """A field was changed by hand, so two versions have one key."""
    key_id, value = stage.key()
    stage.put(id=key_id, value=value, team="sales")
    stage.put(id=key_id, value=value, team="both")
    stage.rotation().run()
    assert stage.accepts(value)
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


def test_a_planted_pending_version_is_not_finished(stage: Stage) -> None:
    """AWSPENDING is there before createSecret, with another field or id, or with a made-up key."""
    own = stage.service.new_key()
    for fields, match in (
        ({"id": own[0], "value": own[1]}, "differ in a field"),
        ({"id": own[0], "value": own[1], "team": "x"}, "differ in a field"),
        ({"id": "another", "value": own[1], "team": "orders"}, "by another id"),
        ({"id": own[0], "value": "made up", "team": "orders"}, "refuses the key"),
    ):
        rotation, before = stage.rotation(), stage.key()
        stage.put("AWSPENDING", token=rotation.version_id, **fields)
        with pytest.raises(RotationStepError, match=match) as caught:
            rotation.run()
        assert before == stage.key()
        assert not shown(caught.value, own[1], before[1])
        rotation.abandon()


@pytest.mark.parametrize(
    "value",
    [
        *('"text"', "text", "[]", '{"id": 1, "value": "x"}', '{"id": "x", "value": 1}', '{"value": "x"}'),
        *('{"id": "x"}', "{}", '{"id": "", "value": null}'),
    ],
)
def test_a_value_without_a_key_is_an_error_or_the_first(stage: Stage, value: str) -> None:
    """An object without a key gets its first. All else is refused before a key is issued.

    A key whose id is a number, or is missing, would never be revoked.
    """
    stage.client.put_secret_value(SecretId=NAME, SecretString=value)
    if '"value": "x"' not in value and '"value": 1' not in value and value.startswith("{"):
        stage.rotation().run()
        assert stage.accepts(stage.key()[1])
    else:
        with pytest.raises(SecretFormatError):
            stage.rotation().run()
        assert 0 == stage.service.calls["POST"]


def test_no_frame_holds_a_key_of_a_wrong_type(stage: Stage) -> None:
    """The variables of keyturn's frames, where what `issue` returned cannot be stored."""

    class Api:
        def issue(self, token: str) -> SimpleNamespace:
            return SimpleNamespace(id=5, value="the new key")

        def test(self, value: str) -> str | None:
            return None

        def revoke(self, key_id: str) -> None:
            raise ConnectionError

    with pytest.raises(RotationStepError, match="no text") as caught:
        stage.rotation(RotationFunction(ApiKeys(Api()), stage.client, announce=unheard)).run()  # type: ignore[arg-type] # tried
    assert not shown(caught.value, "the new key")


def test_no_frame_of_an_error_holds_a_key(stage: Stage) -> None:
    """The variables of keyturn's frames, when the API fails and when Secrets Manager does."""
    before = stage.key()

    def denied(**_call: object) -> None:
        raise PermissionError("denied")

    stage.client.meta.events.register("before-call.secrets-manager.PutSecretValue", denied)
    with pytest.raises(PermissionError) as caught:
        stage.rotation().run()
    made = stage.service.keys[next(iter(stage.service.issued.values()))]
    assert not shown(caught.value, made, before[1])


def shown(error: BaseException, *values: str) -> list[str]:
    """Those of the values that an error, or the variables of keyturn's frames, show."""
    found, chain = [str(error)], [error]
    while chain:
        one = chain.pop()
        trace = one.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code.co_filename
            if "/src/keyturn/" in code and "/testing/" not in code:
                found.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        chain += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
    return [value for value in values if any(value in text for text in found)]


@pytest.mark.parametrize("issued", [IssuedKey("", "x"), IssuedKey("x", ""), IssuedKey("x", None)])  # type: ignore[arg-type] # that is tried
def test_an_issued_key_has_two_texts(stage: Stage, issued: IssuedKey) -> None:
    """An API that answers otherwise than expected stores no empty key."""

    class Api:
        def issue(self, token: str) -> IssuedKey:
            return issued

        def test(self, value: str) -> str | None:
            return None

        def revoke(self, key_id: str) -> None:
            """Revoke nothing."""

    before = stage.key()
    with pytest.raises(RotationStepError, match="no text"):
        stage.rotation(RotationFunction(ApiKeys(Api()), stage.client, announce=unheard)).run()
    assert before == stage.key()


@pytest.mark.parametrize("trouble", [None, "no id", "revoke"])
def test_an_issued_key_of_a_wrong_type_does_not_live_on(
    stage: Stage, trouble: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is revoked, or the log says that it is not."""
    live, names = set[str](), iter(range(101, 110))

    class Api:
        def issue(self, token: str) -> IssuedKey:
            name = next(names)
            live.add(str(name))
            return IssuedKey(None if trouble == "no id" else name, f"value of {name}")  # type: ignore[arg-type] # tried

        def test(self, value: str) -> str | None:
            return None

        def revoke(self, key_id: str) -> None:
            if trouble == "revoke":
                raise ConnectionError
            live.remove(key_id)

    rotation = stage.rotation(RotationFunction(ApiKeys(Api()), stage.client, announce=unheard))
    for number in (1, 2):
        with pytest.raises(RotationStepError, match="no text"):
            rotation.create()
        assert (0 if trouble is None else number) == len(live)
    said = {"no id": "was not revoked: TypeError", "revoke": "was not revoked: ConnectionError"}
    assert (said[trouble] in caplog.text) if trouble else not caplog.text


def test_the_fields_have_names_of_their_own(stage: Stage) -> None:
    """A secret may have other names for the two; one name for both is an error."""
    strategy = ApiKeys(stage.names["keys"], id_field="key_id", value_field="token")  # type: ignore[arg-type] # the page's
    stage.rotation(RotationFunction(strategy, stage.client, announce=unheard)).run()
    value = json.loads(stage.client.get_secret_value(SecretId=NAME)["SecretString"])
    assert stage.accepts(value["token"])
    assert {"id", "value", "team", "key_id", "token"} == value.keys()
    with pytest.raises(ConfigurationError, match="the same"):
        ApiKeys(stage.names["keys"], id_field="value")  # type: ignore[arg-type] # the page's


def test_the_letters_of_other_fields_stay(stage: Stage) -> None:
    """The new version has them as they are: their escapes are longer, and may exceed what AWS takes."""
    before = json.loads(stage.client.get_secret_value(SecretId=NAME)["SecretString"])
    text = json.dumps({**before, "team": "Gr\u00f6\u00dfe"})
    stage.client.put_secret_value(SecretId=NAME, SecretString=text)
    stage.rotation().run()
    assert "Gr\u00f6\u00dfe" in stage.client.get_secret_value(SecretId=NAME)["SecretString"]


def test_a_key_shows_no_value() -> None:
    """The repr of a key has its id only."""
    assert "IssuedKey(id='key-1')" == repr(IssuedKey("key-1", "hidden"))


def test_a_label_that_moved_since_the_listing_keeps_its_key(stage: Stage) -> None:
    """An operator rolls back to an old version, between the listing and the read: its key works on."""
    key_id, value = stage.service.new_key()
    stage.put(id=key_id, value=value, team="orders")
    first_id = stage.client.get_secret_value(SecretId=NAME)["VersionId"]
    stage.rotation().run()
    stage.rotation().run()
    left = [True]

    def move(**_call: object) -> None:
        if left and left.pop():
            move_current(stage.client, NAME, first_id)

    stage.client.meta.events.register("after-call.secrets-manager.ListSecretVersionIds", move)
    stage.rotation().create()
    assert stage.accepts(value)


def retiring(stage: Stage, clock: FakeClock) -> RotationFunction:
    """A function that takes keys away after 900 s."""
    strategy = ApiKeys(stage.names["keys"])  # type: ignore[arg-type] # the page's
    retirement = Retirement(earliest_s=900, latest_s=3600, clock=clock)
    return RotationFunction(strategy, stage.client, announce=unheard, retirement=retirement)


def test_the_previous_key_ends_once_nobody_holds_it(stage: Stage) -> None:
    """Before the earliest time it works, and so does the one before. Then only AWSCURRENT's is left."""
    clock = FakeClock(time.time())
    function = retiring(stage, clock)
    for _ in range(2):
        stage.rotation(function).run()
    keys = dict(stage.service.keys)
    event = {"Step": "retireSecret", "SecretId": NAME}
    held = function(event)
    assert held is not None
    assert not held["retired"]
    # The moment of the rotation is the real clock's, in whole seconds.
    assert re.fullmatch(r"the earliest time is in (?:89\d|90\d) s", str(held["why"]))
    assert keys == stage.service.keys
    clock.advance(1000)
    for _ in range(2):
        said = function(event)
        assert said is not None
        assert said["retired"]
        stage.assert_only("AWSCURRENT")
    stage.rotation(function).run()
    stage.assert_only("AWSCURRENT", "AWSPREVIOUS")


@pytest.mark.parametrize("label", ["AWSPREVIOUS", "no label"])
def test_no_key_is_revoked_for_a_current_one_that_does_not_work(stage: Stage, label: str) -> None:
    """Somebody stores a key that is none. No event and no rotation takes the key away that works."""
    works = stage.key()
    for number in range(2 if label == "no label" else 1):
        stage.put(id=f"key-{number}", value="a mistake", team="orders")
    clock = FakeClock(time.time() + 5000)
    with pytest.raises(RotationStepError, match="no other key was revoked"):
        retiring(stage, clock)({"Step": "retireSecret", "SecretId": NAME})
    stage.rotation().create()
    assert stage.accepts(works[1])


@pytest.mark.parametrize("id_field", [{"id": 5}, {}])
def test_an_old_key_without_a_text_as_its_id_is_told_of(
    stage: Stage, id_field: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Its version was stored by hand. Nobody knows which key it is, so it is not said to be taken away."""
    key_id, value = stage.key()
    fields: dict[str, object] = {**id_field, "value": stage.service.new_key()[1]}
    stage.put("AWSCURRENT", token=None, **fields)
    stage.put(id=key_id, value=value, team="orders")
    clock = FakeClock(time.time() + 5000)
    with pytest.raises(SecretFormatError, match="no text in the field id"):
        retiring(stage, clock)({"Step": "retireSecret", "SecretId": NAME})
    stage.rotation().run()
    assert "was not revoked" not in caplog.text
    stage.rotation().run()
    assert "a key of prod/api that nobody uses was not revoked: SecretFormatError" in caplog.text


@pytest.mark.parametrize("number", [None, 5], ids=["no id", "a number"])
def test_an_old_key_whose_version_was_mended_is_revoked_as_others(
    stage: Stage, number: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Its first version had no id as a text. The second one has the same key, so nobody needs to be told."""
    key_id, value = stage.service.new_key()
    stage.put(id=number, value=value, team="orders")
    stage.put(id=key_id, value=value, team="orders")
    function = retiring(stage, FakeClock(time.time() + 5000))
    for _ in range(3):
        stage.rotation(function).run()
        said = function({"Step": "retireSecret", "SecretId": NAME})
        assert said is not None
        assert said["retired"]
        assert not stage.accepts(value)
        assert stage.accepts(stage.key()[1])
    assert "was not revoked" not in caplog.text


def test_an_older_key_without_a_text_as_its_id_ends_no_retirement(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It works, and nobody knows which key it is: it is told of each time, and AWSPREVIOUS's is revoked."""
    key_id, value = stage.key()
    stray = stage.service.new_key()[1]
    stage.put(id=5, value=stray, team="orders")
    stage.put(id=key_id, value=value, team="orders")
    function = retiring(stage, FakeClock(time.time() + 5000))
    stage.rotation(function).run()
    previous = stage.key("AWSPREVIOUS")[1]
    with caplog.at_level(logging.INFO, "keyturn"):
        said = function({"Step": "retireSecret", "SecretId": NAME})
    assert said is not None
    assert said["retired"]
    assert not stage.accepts(previous)
    assert stage.accepts(stray)
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert re.search(r"a key of \S+ that nobody uses was not revoked: SecretFormatError\n", told)
    assert "was taken away" in told


def test_a_key_that_awsprevious_has_too_is_not_revoked(stage: Stage) -> None:
    """An operator stored its id as a number there. The rotation sees that it is the same key."""
    key_id, value = stage.key()
    stage.put(id=5, value=value, team="orders")
    current = stage.service.new_key()
    stage.put(id=current[0], value=current[1], team="orders")
    assert key_id in stage.service.keys
    stage.rotation().create()
    assert stage.accepts(value)


@pytest.mark.parametrize("failing", ["DELETE", "GET"])
def test_a_key_that_is_not_revoked_is_not_said_to_be(
    stage: Stage, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The event ends with the API's own error, and the next event takes the key away."""
    stage.rotation().run()
    old = stage.key("AWSPREVIOUS")
    function, event = (
        retiring(stage, FakeClock(time.time() + 5000)),
        {"Step": "retireSecret", "SecretId": NAME},
    )
    stage.service.failing = {failing}
    with caplog.at_level(logging.INFO, "keyturn"), pytest.raises(httpx.HTTPStatusError):
        function(event)
    stage.service.failing = set()
    assert "was taken away" not in caplog.text
    assert stage.accepts(old[1])
    function(event)
    stage.assert_only("AWSCURRENT")
