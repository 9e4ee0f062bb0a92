"""What Secrets Manager and Lambda may do to a rotation function, and what must hold then.

Each of `TRIALS` rotates one secret by one function, in one of those ways, and raises `AssertionError` if the
secret or the server is left in a wrong state:

    @pytest.mark.parametrize("trial", TRIALS)
    def test_my_function(trial):
        trial(RotationSubject(client, "prod/db", handler, accepts=server.lets_in))

The function may be any: keyturn's, one of AWS's templates, one written by hand, or a deployed one
(`keyturn.testing.deployed`). The server may be a real one or a stand-in. No message has a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from keyturn.model.plain import decided
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from keyturn.testing.callers import at_once, twice
from keyturn.testing.rotation import STEPS, Rotation, RotationFunction, Step, labelled, version_stages

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def _any_value(_value: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class RotationSubject:
    """A rotation function on trial, and a secret whose rotation is enabled, with a text as its value.

    Args:
        client: a client for Secrets Manager that may do everything with the secret.
        secret_id: the secret's name or ARN.
        function: the handler.
        accepts: returns True if the server lets the secret's value in. Without it no server is asked.
        keeps_previous: whether the server must take AWSPREVIOUS after a rotation, and AWSCURRENT at any time
            in it, as with two users or two passwords. A server with one password does not.
        context: what the handler gets beside the event.
    """

    client: SecretsManagerClient = field(repr=False)
    secret_id: str
    function: RotationFunction
    accepts: Callable[[str], bool] = _any_value
    keeps_previous: bool = False
    context: object = None

    def rotation(self) -> Rotation:
        """Return a rotation that has not begun."""
        return Rotation(self.client, self.secret_id, self.function, context=self.context)

    def lets_in(self, stage: str) -> bool:
        """Return True if the server takes the version with this label; False also if no version has it."""
        version_id = self.labelled(stage)
        return version_id is not None and decided(self.accepts(self._text(version_id, stage)), "accepts")

    def labelled(self, stage: str) -> str | None:
        """Return the id of the version with this label, or None."""
        return labelled(version_stages(self.client, self.secret_id), stage)

    def _text(self, version_id: str, stage: str) -> str:
        read = self.client.get_secret_value(SecretId=self.secret_id, VersionId=version_id, VersionStage=stage)
        return read["SecretString"]


RotationTrial: TypeAlias = Callable[[RotationSubject], None]
"""Rotates the subject's secret in one way. Raises `AssertionError` if the function does not stand it."""


def in_one_go(subject: RotationSubject) -> None:
    """The four steps, and a look at the server after each of them."""
    before, rotation = subject.labelled(AWSCURRENT), subject.rotation()
    for step in STEPS:
        rotation.run(until=step)
        _must_be_open(subject, step)
    _must_be_rotated(subject, rotation, before)


def stopped(step: Step, subject: RotationSubject) -> None:
    """The rotation stops after this step, and is done again from the beginning, with the same token."""
    before, rotation = subject.labelled(AWSCURRENT), subject.rotation()
    rotation.run(until=step)
    _must_be_open(subject, step)
    rotation.retry()
    _must_be_rotated(subject, rotation, before)


def each_step_twice(subject: RotationSubject) -> None:
    """Each step is asked for two times in a row."""
    in_one_go(replace(subject, function=twice(subject.function)))


def two_at_once(subject: RotationSubject) -> None:
    """Two callers ask for each step at the same moment. If both fail, the rotation is done again."""
    before = subject.labelled(AWSCURRENT)
    rotation = replace(subject, function=at_once(subject.function)).rotation()
    for step in STEPS:
        try:
            rotation.run(until=step)
        except Exception:  # noqa: BLE001 # Secrets Manager would try again, too
            Rotation(
                subject.client,
                subject.secret_id,
                subject.function,
                version_id=rotation.version_id,
                context=subject.context,
            ).run(until=step)
            rotation.done = STEPS[: STEPS.index(step) + 1]
        _must_be_open(subject, step)
    _must_be_rotated(subject, rotation, before)


def a_token_seen_before(subject: RotationSubject) -> None:
    """After two rotations each step is asked for again. Nothing changes; the function may raise or not."""
    rotations = subject.rotation(), subject.rotation()
    for rotation in rotations:
        rotation.run()
    for rotation in rotations:
        _must_change_nothing(subject, rotation, STEPS, "a token that was seen before")


def an_unknown_token(subject: RotationSubject) -> None:
    """Steps after createSecret are asked for with a token that no version has. Nothing changes."""
    _must_change_nothing(subject, subject.rotation(), STEPS[1:], "a token that no version has")


def cancelled_after_create(subject: RotationSubject) -> None:
    """A rotation is cancelled before it reached the server. The next one has a token of its own."""
    before, cancelled = subject.labelled(AWSCURRENT), subject.rotation()
    cancelled.create()
    cancelled.abandon()
    _must_be_open(subject, "createSecret")
    rotation = subject.rotation()
    rotation.run()
    _must_be_rotated(subject, rotation, before)


def _named(name: str, trial: RotationTrial) -> RotationTrial:
    """Return the trial with a name, which pytest shows."""

    def named(subject: RotationSubject) -> None:
        trial(subject)

    named.__name__ = name
    return named


TRIALS: Final[tuple[RotationTrial, ...]] = (
    in_one_go,
    *(_named(f"stopped_after_{step}", partial(stopped, step)) for step in STEPS),
    each_step_twice,
    two_at_once,
    a_token_seen_before,
    an_unknown_token,
    cancelled_after_create,
)
"""Every trial. Each leaves the secret rotated, so that the next one may follow."""


def _must_change_nothing(
    subject: RotationSubject, rotation: Rotation, steps: Iterable[Step], what: str
) -> None:
    """Ask for these steps. Raise `AssertionError` if a label moved, or the server refuses AWSCURRENT."""
    labels = version_stages(subject.client, subject.secret_id)
    for step in steps:
        with suppress(Exception):
            rotation.repeat(step)
        are_same = version_stages(subject.client, subject.secret_id) == labels
        _must(are_same, f"{step} with {what} moved a label")
        _must(subject.lets_in(AWSCURRENT), f"{step} with {what} changed the server")


def _must_be_open(subject: RotationSubject, step: Step) -> None:
    """Raise `AssertionError` if the server takes no version that a client could find."""
    accepted = [stage for stage in (AWSCURRENT, AWSPENDING) if subject.lets_in(stage)]
    _must(bool(accepted), f"after {step} the server takes neither {AWSCURRENT} nor {AWSPENDING}")
    if subject.keeps_previous:
        _must(AWSCURRENT in accepted, f"after {step} the server refuses {AWSCURRENT}")


def _must_be_rotated(subject: RotationSubject, rotation: Rotation, before: str | None) -> None:
    """Raise `AssertionError` unless the rotation has ended, and the server takes the new version."""
    labels = {stage: subject.labelled(stage) for stage in (AWSCURRENT, AWSPREVIOUS)}
    _must(labels == {AWSCURRENT: rotation.version_id, AWSPREVIOUS: before}, f"the labels are {labels}")
    pending = subject.labelled(AWSPENDING)
    _must(pending in (None, rotation.version_id), f"{AWSPENDING} is left on {pending}")
    _must(subject.lets_in(AWSCURRENT), f"the server refuses the new {AWSCURRENT}")
    if subject.keeps_previous:
        _must(subject.lets_in(AWSPREVIOUS), f"the server refuses {AWSPREVIOUS}")


def _must(is_right: bool, otherwise: str) -> None:  # noqa: FBT001 # a statement of its own
    # An assert statement would show the values that it compares, and is left out by `python -O`.
    if not is_right:
        raise AssertionError(otherwise)
