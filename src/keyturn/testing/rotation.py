"""AWS's rotation, driven by hand: the four steps of one rotation of one secret.

Secrets Manager calls a rotation function four times with one token (which becomes the new version's id):
createSecret, setSecret, testSecret, finishSecret. `Rotation` does the same on moto, on an embedded AWS or in
a real account, one step at a time or all at once. After any step it can stop, fail, retry, be abandoned or
roll back, and a step can be asked for again. `events` sends the events that AWS would send meanwhile.

One state cannot be made: in AWS the AWSPENDING version id exists before any value does (GetSecretValue then
says ResourceNotFoundException). No public call makes such a version, so here the version appears with its
value, in createSecret.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from keyturn.errors import KeyturnError
from keyturn.model.plain import plain, plain_methods, ran
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Step: TypeAlias = Literal["createSecret", "setSecret", "testSecret", "finishSecret"]

STEPS: Final[tuple[Step, ...]] = ("createSecret", "setSecret", "testSecret", "finishSecret")

RotationFunction: TypeAlias = Callable[[dict[str, str], object], object]
"""A rotation Lambda's handler: takes {"Step", "SecretId", "ClientRequestToken"} and a context."""


class RotationError(KeyturnError):
    """The rotation cannot go on in the secret's present state, or a test made it fail here."""


class RotationEvents(Protocol):
    """Sends the events of a rotation, as `keyturn.testing.events.SecretEvents` does."""

    def telling(self) -> AbstractContextManager[None]:
        """Send events about the staging labels that moved in the block, whether the block ends or raises."""
        ...

    def tell(self, name: str) -> None:
        """Send the event of something that Secrets Manager did by itself, such as RotationFailed."""
        ...


class Unheard:
    """Sends no events about a rotation."""

    def telling(self) -> AbstractContextManager[None]:
        return nullcontext()

    def tell(self, name: str) -> None:
        """Send nothing."""


UNHEARD: Final = Unheard()


def version_stages(client: SecretsManagerClient, secret_id: str) -> dict[str, frozenset[str]]:
    """Return version id -> staging labels, for each version that has a label."""
    listed = client.describe_secret(SecretId=secret_id).get("VersionIdsToStages", {})
    return {version_id: frozenset(stages) for version_id, stages in listed.items() if stages}


def labelled(versions: Mapping[str, frozenset[str]], stage: str) -> str | None:
    """Return the id of the version with the label `stage`, or None. Raises `RotationError` for several."""
    found = [version_id for version_id, stages in versions.items() if stage in stages]
    if len(found) > 1:
        raise RotationError(f"{stage} is on {len(found)} versions: {', '.join(found)}")
    return found[0] if found else None


class Rotation:
    """One rotation of one secret. `version_id` is the id that the new version has or will have.

    A step that raises leaves the secret as it is, as in AWS: AWSPENDING stays, and `run` or `retry` goes on.
    Errors of the rotation function pass through; an async one raises `ConfigurationError`. Not thread-safe.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        secret_id: str,
        function: RotationFunction,
        *,
        version_id: str | None = None,
        context: object = None,
        events: RotationEvents = UNHEARD,
    ) -> None:
        self.secret_id: Final = secret_id
        self.version_id: Final = version_id or str(uuid.uuid4())
        self.done: tuple[Step, ...] = ()
        self._client = client
        self._function = plain(function, "function")
        self._context = context
        self._events = events

    def __repr__(self) -> str:
        return f"Rotation({self.secret_id!r}, version_id={self.version_id!r}, done={self.done!r})"

    def create(self) -> None:
        """createSecret: make the new version, with the label AWSPENDING.

        Raises `RotationError` if another rotation of the secret is in progress, as RotateSecret does.
        """
        versions = version_stages(self._client, self.secret_id)
        pending = labelled(versions, AWSPENDING)
        if pending not in (None, self.version_id, labelled(versions, AWSCURRENT)):
            raise RotationError(f"{self!r}: the rotation to {pending} is in progress; abandon it first")
        self._events.tell("RotationStarted")
        self._step("createSecret")

    def set(self) -> None:
        """setSecret: make the server accept the new value. With a single user it then refuses the old one."""
        self._step("setSecret")

    def test(self) -> None:
        """testSecret: check that the new value works."""
        self._step("testSecret")

    def finish(self) -> None:
        """finishSecret: move AWSCURRENT to the new version, and AWSPREVIOUS to the version it left.

        AWSPENDING is removed. AWS documents that it may stay on the current version or be on none.
        """
        self._step("finishSecret")
        with self._events.telling():
            self._drop_pending()
        self._events.tell("RotationSucceeded")

    def run(self, *, until: Step = "finishSecret", fail_in: Step | None = None) -> None:
        """Do the remaining steps, through `until`. Raises `RotationError` when it reaches `fail_in`.

        The failing step does nothing: the rotation function is not called for it.
        """
        doing = {
            "createSecret": self.create,
            "setSecret": self.set,
            "testSecret": self.test,
            "finishSecret": self.finish,
        }
        for step in STEPS[len(self.done) : STEPS.index(until) + 1]:
            if step == fail_in:
                self._events.tell("RotationFailed")
                raise RotationError(f"{self!r}: failed in {step}, as fail_in says")
            doing[step]()

    def fail_after(self, step: Step) -> None:
        """Do the steps through `step`. Then the rotation fails, and the secret stays as it is.

        The next step is never called. Raises `RotationError` for `finishSecret`, after which no step can
        fail.
        """
        if step == STEPS[-1]:
            raise RotationError(f"{self!r}: no step follows {step}, so none can fail after it")
        self.run(until=step)
        self._events.tell("RotationFailed")

    def retry(self) -> None:
        """Do the whole rotation again with the same version, as Secrets Manager does after a failure."""
        self.done = ()
        self.run()

    def repeat(self, step: Step) -> None:
        """Ask the function for a step of this rotation again, whatever has happened to the secret since.

        An event that was delivered twice does that. Neither `done` nor the labels are changed here.
        """
        self._call(step)

    def abandon(self) -> None:
        """Give up the rotation, as an operator does who cancels it: the new version loses AWSPENDING."""
        with self._events.telling():
            self._drop_pending()
        self._events.tell("RotationAbandoned")

    def rollback(self) -> None:
        """Move AWSCURRENT back to the version with AWSPREVIOUS. The server keeps its value."""
        versions = version_stages(self._client, self.secret_id)
        previous = labelled(versions, AWSPREVIOUS)
        if previous is None:
            raise RotationError(f"{self!r}: no version carries {AWSPREVIOUS}")
        with self._events.telling():
            move_current(self._client, self.secret_id, previous)

    def _step(self, step: Step) -> None:
        try:
            with self._events.telling():
                self._call(step)
        except Exception:
            self._events.tell("RotationFailed")
            raise
        self.done = STEPS[: STEPS.index(step) + 1]

    def _call(self, step: Step) -> None:
        ran(self._function(self._event(step), self._context), "function")

    def _event(self, step: Step) -> dict[str, str]:
        return {"Step": step, "SecretId": self.secret_id, "ClientRequestToken": self.version_id}

    def _drop_pending(self) -> None:
        if AWSPENDING in version_stages(self._client, self.secret_id).get(self.version_id, ()):
            self._client.update_secret_version_stage(
                SecretId=self.secret_id, VersionStage=AWSPENDING, RemoveFromVersionId=self.version_id
            )


def move_current(client: SecretsManagerClient, secret_id: str, version_id: str) -> None:
    """Move AWSCURRENT to `version_id` (AWSPREVIOUS follows). Do nothing if it is there already."""
    current = labelled(version_stages(client, secret_id), AWSCURRENT)
    if current is None:
        raise RotationError(f"secret {secret_id!r}: no version carries {AWSCURRENT}")
    if current == version_id:
        return
    client.update_secret_version_stage(
        SecretId=secret_id,
        VersionStage=AWSCURRENT,
        MoveToVersionId=version_id,
        RemoveFromVersionId=current,
    )


def _nothing(*_values: str) -> None:
    """Do nothing: the step of a secret that no server uses."""


@dataclass(frozen=True, slots=True)
class StepFunctions:
    """A rotation function with one callable per step. As in AWS's templates, a step can run twice.

    `new_value` makes the new value from the current one. `set_value` takes (current, pending) and makes the
    server accept the pending value. `test_value` takes the pending value and raises if it does not work. For
    secrets that are text. Raises `ConfigurationError` for an async callable.
    """

    client: SecretsManagerClient = field(repr=False)
    new_value: Callable[[str], str] = field(repr=False)
    set_value: Callable[[str, str], object] = field(repr=False, default=_nothing)
    test_value: Callable[[str], object] = field(repr=False, default=_nothing)

    def __post_init__(self) -> None:
        plain_methods(self, ("new_value", "set_value", "test_value"))

    def __call__(self, event: dict[str, str], _context: object = None) -> None:
        secret_id, version_id = event["SecretId"], event["ClientRequestToken"]
        match event["Step"]:
            case "createSecret":
                self._create(secret_id, version_id)
            case "setSecret":
                values = self._current(secret_id), self._pending(secret_id, version_id)
                ran(self.set_value(*values), "set_value")
            case "testSecret":
                ran(self.test_value(self._pending(secret_id, version_id)), "test_value")
            case "finishSecret":
                self._stage_of(secret_id, version_id)
                move_current(self.client, secret_id, version_id)
            case step:
                raise RotationError(f"secret {secret_id!r}: {step!r} is not a step of a rotation")

    def _create(self, secret_id: str, version_id: str) -> None:
        if version_id in version_stages(self.client, secret_id):
            return
        self.client.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=version_id,
            SecretString=ran(self.new_value(self._current(secret_id)), "new_value"),
            VersionStages=[AWSPENDING],
        )

    def _current(self, secret_id: str) -> str:
        version_id = labelled(version_stages(self.client, secret_id), AWSCURRENT)
        if version_id is None:
            raise RotationError(f"secret {secret_id!r}: no version carries {AWSCURRENT}")
        return self._text(secret_id, version_id, AWSCURRENT)

    def _pending(self, secret_id: str, version_id: str) -> str:
        return self._text(secret_id, version_id, self._stage_of(secret_id, version_id))

    def _stage_of(self, secret_id: str, version_id: str) -> str:
        """Return the label of the version that is rotated to. Raises `RotationError` for any other one."""
        stages = version_stages(self.client, secret_id).get(version_id, frozenset())
        if AWSPENDING not in stages and AWSCURRENT not in stages:
            raise RotationError(f"secret {secret_id!r}: version {version_id} is not {AWSPENDING}")
        return AWSPENDING if AWSPENDING in stages else AWSCURRENT

    def _text(self, secret_id: str, version_id: str, stage: str) -> str:
        answer = self.client.get_secret_value(SecretId=secret_id, VersionId=version_id, VersionStage=stage)
        return answer["SecretString"]
