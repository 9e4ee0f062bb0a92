"""The four steps of a rotation. Each may run twice, and after a crash of itself or of the next step.

Secrets Manager invokes the function once per step with the same token, which is the id of the new version.
After a failure it does the whole rotation again. After createSecret, setSecret and finishSecret the function
announces the step. Warm readers then need no event, and between setSecret and finishSecret the server refuses
none of their logins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from keyturn.announcing import announce
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, make_client
from keyturn.aws.secretsmanager import SecretsManagerSource
from keyturn.aws.unseen import unseen
from keyturn.errors import SecretError, StageNotFoundError
from keyturn.model.plain import plain_methods, ran
from keyturn.model.values import values_of
from keyturn.model.versions import AWSCURRENT, AWSPENDING, AWSPREVIOUS, SecretVersion
from keyturn.rotation.announcements import ANNOUNCED, FIELDS, Announce, Announcements, parsed
from keyturn.rotation.issuing import Issuer, retire, unlabelled, withdraw
from keyturn.rotation.retirement import RETIRE, Decision, Retirement, Retires, decision_of, say
from keyturn.rotation.trust import RotationStepError, UnshownError, must_be_configured, without_frames
from keyturn.runtime.process import Once
from keyturn.runtime.quotes import without_values

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_T = TypeVar("_T")

Stages = Mapping[str, frozenset[str]]
"""Version id -> its staging labels, from DescribeSecret."""

METHODS: Final = ("renew", "set", "test", "issue", "withdraw", "retire")
"""The methods of all kinds of strategies."""

TOKEN_LENGTH_MIN: Final = 32
TOKEN_LENGTH_MAX: Final = 64
"""What Secrets Manager takes as the id of a version."""


class Strategy(Protocol):
    """The changes that a rotation makes.

    Each method may be called again after it succeeded or failed half way.

    An error of a method ends the step, and Secrets Manager tries the rotation again. The error must not have
    a secret value in it. No method may be async: nobody would await it.
    """

    def renew(self, current: SecretVersion, password: str) -> str:
        """Return the text of the new version. `password` is random. This method must not change anything."""
        ...

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Make the server accept the pending version.

        `known` has the versions that the server may accept now: AWSCURRENT, then AWSPREVIOUS if there is one.
        """
        ...

    def test(self, pending: SecretVersion) -> None:
        """Use the pending version as a client would. Raise an error if it does not work."""
        ...


class RotationFunction:
    """A rotation function. An instance is the Lambda handler, called as `handler(event, context)`.

    Args:
        strategy: makes the changes.
        client: a boto3 or botocore client for Secrets Manager. Default: a client made at the first step.
        announce: called after each step but testSecret. `keyturn.announce` reads the table's name from
            the environment variable `KEYTURN_MARKER_TABLE`. A failure is logged, and the step goes on;
            nothing is announced in the 60 s after it.
        password_length, exclude_characters: of the new password (GetRandomPassword). By default the
            characters are excluded that a connection URL cannot have unquoted.
        retirement: when the credential of AWSPREVIOUS is taken away, for a strategy with two of them. An
            event with the step "retireSecret" asks for it, and needs no token. Default: at the next rotation.

    It needs `secretsmanager:DescribeSecret`, `GetSecretValue`, `PutSecretValue` and
    `UpdateSecretVersionStage` on the secret, `GetRandomPassword`, and the permissions that `announce` needs.
    `ListSecretVersionIds` helps: where the server refuses every version that has a label, or where these do
    not show whose a second user is, one without a label may be the right one.

    Raises `ConfigurationError` for a strategy or an `announce` that is async.
    """

    def __init__(
        self,
        strategy: Strategy | Issuer,
        client: object = None,
        *,
        announce: Announce = announce,
        password_length: int = 32,
        exclude_characters: str = "/@\"'\\:?#[]%&+ ",
        retirement: Retirement | None = None,
    ) -> None:
        plain_methods(strategy, METHODS)
        self._strategy = strategy
        self._made = Once(lambda: client or make_client("secretsmanager", SECRETS_TIMEOUTS_S))
        self._source = SecretsManagerSource(self._client)
        self._announcements = Announcements(announce)
        self._password_length = password_length
        self._exclude_characters = exclude_characters
        self._retirement = retirement

    @unseen
    def __call__(
        self, event: Mapping[str, object], context: object = None
    ) -> Mapping[str, bool | str] | None:
        """Do one step: {"Step": …, "SecretId": …, "ClientRequestToken": …}.

        Returns None, and for the step "retireSecret" whether the credential of AWSPREVIOUS was taken away
        and why: {"retired": False, "why": "…"}.

        Raises `RotationStepError` if the rotation is not enabled or is another function's (by the ARN in
        Lambda's `context`), if the token is not the pending version, or if there is no such step. Raises
        `SecretError`, and the errors of the strategy and of botocore.
        """
        step, secret_id, token = _parsed(event)
        described = self._client().describe_secret(SecretId=secret_id)
        must_be_configured(described, secret_id, getattr(context, "invoked_function_arn", None))
        listed = described.get("VersionIdsToStages", {})
        stages = {version_id: frozenset(labels) for version_id, labels in listed.items()}
        if step == RETIRE:
            return self._retire(secret_id, described, stages)
        _must_be_due(step, secret_id, token, stages)
        if AWSCURRENT not in stages.get(token, ()):
            self._do(step, secret_id, token, stages)
        if step in ANNOUNCED:
            self._announcements.tell(secret_id, token, step)
        return None

    def _do(self, step: str, secret_id: str, token: str, stages: Stages) -> None:
        match step:
            case "createSecret":
                self._create(secret_id, token)
            case "setSecret":
                known = [self._read(secret_id, AWSCURRENT)]
                with suppress(SecretError):
                    known.append(self._read(secret_id, AWSPREVIOUS))
                self._set(self._read(secret_id, AWSPENDING, token), known)
            case "testSecret":
                pending = self._read(secret_id, AWSPENDING, token)
                _without_values([pending], lambda: ran(self._strategy.test(pending), "test"))
            case "finishSecret":
                self._finish(secret_id, token, stages)
            case _:
                raise RotationStepError(f"secret {secret_id!r}: {step!r} is not a step of a rotation")

    def _set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Let the strategy do its part, if need be by versions without a label: what the server has, perhaps.

        The last password has no label after a cancelled rotation, or after values that were stored by hand.
        """
        try:
            self._set_by(pending, known)
        except UnshownError:
            older, why_no_more = self._older(pending.secret_id)
            try:
                if not older:
                    raise
                self._set_by(pending, [*known, *older])
            except UnshownError as unshown:
                if why_no_more is None:
                    raise
                raise UnshownError(
                    f"{unshown}; the versions without a label, which may help, could not be read: "
                    f"{why_no_more}"
                ) from unshown

    def _set_by(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        _without_values([pending, *known], lambda: ran(self._strategy.set(pending, known), "set"))

    def _older(self, secret_id: str) -> tuple[list[SecretVersion], str | None]:
        """Return the newest versions without a label, and why there may be more that could not be read.

        That is AWS's code or the class of the error; None if all were read.
        """
        found = list[SecretVersion]()
        try:
            found.extend(unlabelled(self._client(), secret_id))
        except SecretError as error:
            # What cannot be read shows nothing, as with AWSPREVIOUS.
            return found, type(error).__name__
        except self._client().exceptions.ClientError as error:
            code = error.response["Error"]["Code"]
            if code != "AccessDeniedException":
                raise
            return found, code
        return found, None

    def _create(self, secret_id: str, token: str) -> None:
        """Store the new version, unless an earlier try did: the server may have that password already."""
        current = self._read(secret_id, AWSCURRENT)
        with suppress(StageNotFoundError):
            self._read(secret_id, AWSPENDING, token)
            return
        strategy = self._strategy
        if isinstance(strategy, Issuer):
            self._issue(strategy, current, token)
            return
        try:
            without_frames(lambda: self._put(secret_id, token, self._renewed(strategy, current)))
        except self._client().exceptions.ResourceExistsException:
            # Another call of this step was faster, and stored the password of its own.
            self._read(secret_id, AWSPENDING, token)

    def _renewed(self, strategy: Strategy, current: SecretVersion) -> str:
        """Return the text of the new version. Raises `RotationStepError` if the strategy made no text."""
        password = self._new_password()
        text: object = _without_values(
            [current],
            lambda: without_frames(lambda: ran(strategy.renew(current, password), "renew"), password),
        )
        if isinstance(text, str) and text:
            return text
        # botocore would quote it, with the password in it.
        raise RotationStepError(f"secret {current.secret_id!r}: renew() returned something that is no text")

    def _issue(self, issuer: Issuer, current: SecretVersion, token: str) -> None:
        """Store what the issuer makes, unless another try of this step was faster."""
        secret_id = current.secret_id
        retire(issuer, self._client(), self._source, current)
        # Unlike a text, a version does not show its value where a traceback shows variables.
        made = SecretVersion(
            secret_id,
            current.arn,
            current.name,
            token,
            frozenset({AWSPENDING}),
            string=_without_values([current], lambda: ran(issuer.issue(current, token), "issue")),
        )
        try:
            without_frames(lambda: self._put(secret_id, token, made.text()))
        except self._client().exceptions.ResourceExistsException:
            withdraw(issuer, made, self._read(secret_id, AWSPENDING, token))

    def _put(self, secret_id: str, token: str, text: str) -> None:
        self._client().put_secret_value(
            SecretId=secret_id, ClientRequestToken=token, SecretString=text, VersionStages=[AWSPENDING]
        )

    def _new_password(self) -> str:
        return self._client().get_random_password(
            PasswordLength=self._password_length, ExcludeCharacters=self._exclude_characters
        )["RandomPassword"]

    def _finish(self, secret_id: str, token: str, stages: Stages) -> None:
        current = _labelled(stages, AWSCURRENT)
        if current is None:
            raise RotationStepError(f"secret {secret_id!r}: no version carries {AWSCURRENT}")
        try:
            self._client().update_secret_version_stage(
                SecretId=secret_id,
                VersionStage=AWSCURRENT,
                MoveToVersionId=token,
                RemoveFromVersionId=current,
            )
        except self._client().exceptions.ClientError:
            # Another call of this step may have been faster.
            described = self._client().describe_secret(SecretId=secret_id)
            if AWSCURRENT not in described.get("VersionIdsToStages", {}).get(token, ()):
                raise

    def _retire(
        self, secret_id: str, described: Mapping[str, object], stages: Stages
    ) -> Mapping[str, bool | str]:
        """Take the credential of AWSPREVIOUS away if it is time, and no rotation is under way."""
        strategy, retirement = self._strategy, self._retirement
        if retirement is None or not isinstance(strategy, Retires):
            raise RotationStepError(
                f"secret {secret_id!r}: the function takes nothing away between rotations; it needs "
                "retirement=Retirement(...), and a strategy by which two credentials work"
            )
        current, pending = _labelled(stages, AWSCURRENT), _labelled(stages, AWSPENDING)
        previous = _labelled(stages, AWSPREVIOUS)
        if current is None or previous is None:
            decision = Decision(is_due=False, why=f"no version carries {AWSPREVIOUS}")
        elif pending not in (None, current):
            decision = Decision(is_due=False, why="a rotation is under way, which takes it away itself")
        else:
            decision = decision_of(retirement, described, current)
        if decision.is_due:
            known, other = self._read(secret_id, AWSCURRENT), self._read(secret_id, AWSPREVIOUS)
            if (known.version_id, other.version_id) != (current, previous):
                # What is AWSPREVIOUS now was AWSCURRENT when this was decided: everybody may hold it.
                decision = Decision(is_due=False, why="a label has moved meanwhile")
            else:
                older = unlabelled(self._client(), secret_id) if isinstance(strategy, Issuer) else ()
                others = chain([other], older)
                try:
                    _without_values([known, other], lambda: ran(strategy.retire([known], others), "retire"))
                finally:
                    # It may have taken something away before it failed.
                    self._set_again(secret_id, known)
        say(retirement, secret_id, decision)
        return {"retired": decision.is_due, "why": decision.why}

    def _set_again(self, secret_id: str, known: SecretVersion) -> None:
        """Let the server accept a version that a rotation made meanwhile, which the retirement took away."""
        listed = self._client().describe_secret(SecretId=secret_id).get("VersionIdsToStages", {})
        stages = {version_id: frozenset(labels) for version_id, labels in listed.items()}
        for label in (AWSPENDING, AWSCURRENT):
            if _labelled(stages, label) not in (None, known.version_id):
                with suppress(StageNotFoundError):
                    self._set_by(self._read(secret_id, label), [known])
                return

    def _read(self, secret_id: str, stage: str, version_id: str | None = None) -> SecretVersion:
        return self._source.read(secret_id, stage=stage, version_id=version_id)

    def _client(self) -> SecretsManagerClient:
        return cast("SecretsManagerClient", self._made())


def _parsed(event: Mapping[str, object]) -> tuple[str, str, str]:
    step, secret_id, token = parsed(event)
    if step == RETIRE:
        token = token or ""
    if step is None or secret_id is None or token is None:
        missing = next(name for name, value in zip(FIELDS, parsed(event), strict=True) if value is None)
        raise RotationStepError(f"not an event of a rotation: it has no {missing!r}")
    if step != RETIRE and not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX:
        raise RotationStepError(
            f"secret {secret_id!r}: {token!r} is no version id: it has not {TOKEN_LENGTH_MIN} to "
            f"{TOKEN_LENGTH_MAX} characters"
        )
    return step, secret_id, token


def _must_be_due(step: str, secret_id: str, token: str, stages: Stages) -> None:
    """Raise `RotationStepError` unless Secrets Manager would call this step now.

    Secrets Manager stages the token before createSecret, and DescribeSecret may not show that yet. For
    createSecret, therefore, a token without a version is accepted too, unless another rotation is under way.
    """
    current, pending = _labelled(stages, AWSCURRENT), _labelled(stages, AWSPENDING)
    is_free = pending is None or pending == current
    if token in (current, pending) or (step == "createSecret" and token not in stages and is_free):
        return
    raise RotationStepError(f"secret {secret_id!r}: version {token!r} is not {AWSPENDING}")


def _without_values(versions: Sequence[SecretVersion], call: Callable[[], _T]) -> _T:
    """Return what `call` returns. Its errors may have the text of a server, which may quote a password."""
    try:
        return call()
    except Exception as error:
        without_values(error, chain.from_iterable(map(values_of, versions)))
        raise


def _labelled(stages: Stages, label: str) -> str | None:
    return next((version_id for version_id, labels in stages.items() if label in labels), None)
