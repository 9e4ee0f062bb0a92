"""Every error that keyturn raises.

    KeyturnError
    ├── ConfigurationError            an argument or setting that cannot work (also a ValueError)
    ├── MarkerTableError              the marker table: unreachable, missing, denied, misshapen
    │   └── MarkerConflictError       another writer changed the marker first: read it again
    ├── ConvergenceTableError         the convergence table: unreachable, missing, denied
    └── SecretError                   one secret; has `.secret_id` and `.advice`
        ├── InvalidSecretIdError      not a name or ARN that Secrets Manager could know
        ├── SecretNotFoundError       no such secret in this account and Region
        ├── SecretDeletedError        the secret is scheduled for deletion: it can only be restored
        ├── StageNotFoundError        no readable version of the secret has this staging label
        ├── AccessDeniedError         the policy of the caller, the secret or the key says no
        ├── DecryptionError           the KMS key is disabled, deleted or cannot be used for this secret
        ├── SecretKindError           text was read of a binary secret, or bytes of a text secret
        ├── SecretFormatError         the value is not JSON, or not the JSON that the caller needs
        │   └── SecretFieldError      the value does not fit its settings field
        ├── LoginRefusedError         the server refused every version that could be right
        ├── KeyMismatchError          no version that may sign fits the message, or its key id
        ├── UnavailableError          throttled, timed out, 5xx, no network, no credentials: try again
        │   └── ClientSetupError      no AWS client can be made; also a ConfigurationError
        └── ParameterError            an error about a parameter of Parameter Store; each is also the
            │                         secret's error of the same kind: an `except` catches both
            ├── InvalidParameterNameError       also an InvalidSecretIdError
            ├── ParameterNotFoundError          also a SecretNotFoundError
            ├── ParameterVersionNotFoundError   no such version or label; also a StageNotFoundError
            ├── ParameterAccessDeniedError      also an AccessDeniedError
            ├── ParameterDecryptionError        also a DecryptionError
            ├── ParameterFormatError            also a SecretFormatError
            ├── ParameterFieldError             also a SecretFieldError
            └── ParameterUnavailableError       also an UnavailableError
                └── ParameterClientSetupError   also a ClientSetupError

A message says what happened, to which secret, and what to do. No message, attribute or
traceback entry of these classes ever holds a secret value; botocore's error is the `__cause__`.
"""

from __future__ import annotations


class KeyturnError(Exception):
    """The base of all errors that keyturn itself raises."""


class ConfigurationError(KeyturnError, ValueError):
    """An argument or a setting has a value that cannot work."""


class MarkerTableError(KeyturnError):
    """The marker table could not be read or written.

    `SecretCache.get` never raises this error: `status()` and the log show the table's errors.
    """

    def __init__(self, table: str, detail: str, *, denied: bool = False) -> None:
        super().__init__(f"marker table {table!r}: {detail}")
        self.table = table
        self.detail = detail
        self.denied = denied

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_table, (type(self), self.table, self.detail, self.denied)


class ConvergenceTableError(KeyturnError):
    """The convergence table could not be read or written.

    `SecretCache.get` never raises this error: `status()` and the log show the table's errors.
    """

    def __init__(self, table: str, detail: str, *, denied: bool = False) -> None:
        super().__init__(f"convergence table {table!r}: {detail}")
        self.table = table
        self.detail = detail
        self.denied = denied

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_table, (type(self), self.table, self.detail, self.denied)


def _rebuild_table(
    kind: type[MarkerTableError | ConvergenceTableError],
    table: str,
    detail: str,
    denied: bool,  # noqa: FBT001 # as pickled
) -> MarkerTableError | ConvergenceTableError:
    return kind(table, detail, denied=denied)


class MarkerConflictError(MarkerTableError):
    """The marker changed after it was read and before it was written. Nothing was written."""


class SecretError(KeyturnError):
    """The base of all errors about a single secret. `advice` says what to do.

    `noun` says what `secret_id` is the name of. It is "the list of" where "secrets" could not be listed.
    """

    noun = "secret"
    summary = "cannot be used"
    default_advice = "see the cause"

    def __init__(
        self, secret_id: str, detail: str = "", *, advice: str | None = None, noun: str | None = None
    ) -> None:
        self.secret_id = secret_id
        self.detail = detail
        self.advice = advice or self.default_advice
        if noun is not None and noun != self.noun:
            self.noun = noun
        what = f"{self.summary}: {detail}" if detail else self.summary
        super().__init__(f"{self.noun} {secret_id!r} {what}. What to do: {self.advice}.")

    def about(self, secret_id: str) -> SecretError:
        """Return the same error, with the same cause, for the id by which the caller named the secret."""
        error = _rebuild(type(self), secret_id, self.detail, self.advice, self.noun)
        error.__cause__ = self.__cause__
        return error

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.secret_id, self.detail, self.advice, self.noun)


def _rebuild(
    kind: type[SecretError], secret_id: str, detail: str, advice: str, noun: str | None = None
) -> SecretError:
    """Make an error of its parts. The rendered message is not an argument of `SecretError.__init__`.

    A class of a caller's own may not take a noun.
    """
    if noun is None or noun == kind.noun:
        return kind(secret_id, detail, advice=advice)
    return kind(secret_id, detail, advice=advice, noun=noun)


class InvalidSecretIdError(SecretError, ValueError):
    """Secrets Manager cannot have a secret with this id."""

    summary = "has an id that no secret can have"
    default_advice = "give the secret's name or ARN, 1 to 2048 characters"


class SecretNotFoundError(SecretError, LookupError):
    """No secret of this name or ARN exists in the client's account and Region."""

    summary = "was not found"
    default_advice = (
        "check the name, the account and the Region of the client; a re-created secret has another "
        "ARN, so name it by its name"
    )


class SecretDeletedError(SecretError, LookupError):
    """The secret is scheduled for deletion and cannot be read."""

    summary = "is scheduled for deletion"
    default_advice = "restore it (secretsmanager:RestoreSecret) or stop using it"


class StageNotFoundError(SecretError, LookupError):
    """The secret exists, but no version with a value carries the staging label."""

    summary = "has no version with a value under this staging label"
    default_advice = (
        "AWSPENDING exists only during a rotation and AWSPREVIOUS only after one; for another label "
        "look at DescribeSecret's VersionIdsToStages"
    )


class AccessDeniedError(SecretError):
    """The caller's policy, the secret's policy or the key's policy denies the read."""

    # True in a source's own error if AWS does not take the credentials: it is about no single secret then.
    of_credentials = False

    summary = "may not be read by this role"
    default_advice = (
        "allow secretsmanager:GetSecretValue on the secret's ARN (suffix -??????), and kms:Decrypt "
        "if it is encrypted with a customer managed key"
    )


class DecryptionError(SecretError):
    """Secrets Manager could not decrypt the value with the secret's KMS key."""

    summary = "could not be decrypted"
    default_advice = "check that its KMS key is enabled and that the role may use kms:Decrypt on it"


class SecretKindError(SecretError, TypeError):
    """The value is binary and the caller read text, or the reverse."""

    summary = "is of the other kind"
    default_advice = "use get_secret_binary for SecretBinary and get_secret_string for SecretString"


class SecretFormatError(SecretError, ValueError):
    """The value is not JSON, or not the JSON that the caller needs."""

    summary = "is not the JSON that was asked for"
    default_advice = "read it with get_secret_string, or store a JSON document"


class SecretFieldError(SecretFormatError):
    """A settings field does not take the value, or the value lacks the key that the field names."""

    summary = "does not fit a settings field"
    default_advice = "store what the field takes, correct its key, or set its environment variable"


class LoginRefusedError(SecretError):
    """The server refused every version that could be right. The message lists each version with its refusal.

    `detail` and the message name each version that was tried with the kind of its error, each label that
    could not be read, and how long the login waited. The cause (`__cause__`) is the last refusal, as the
    caller's own driver raised it; it is None if no version was tried because all were refused moments ago.
    """

    summary = "was refused at login"
    default_advice = (
        "compare the server's password with the secret; if a rotation stopped half way, finish or "
        "cancel it; DescribeSecret's VersionIdsToStages shows where it stands"
    )


class KeyMismatchError(SecretError, LookupError):
    """A message fits no version of the secret that may sign, or names a key id that none of them has."""

    summary = "has no version that fits this message"
    default_advice = "refuse the message; if it is genuine, find out with which secret its sender signs"


class UnavailableError(SecretError):
    """Secrets Manager gave no answer, or no usable one. The same call may succeed later."""

    summary = "could not be read now"
    default_advice = (
        "try again; if it lasts, check the network path (VPC endpoint, DNS), the credentials and the "
        "GetSecretValue quota"
    )


class ClientSetupError(UnavailableError, ConfigurationError):
    """The AWS client cannot be made: no Region, no such profile, a wrong endpoint.

    A copy that is held is served all the same, as long as while Secrets Manager does not answer.
    """

    default_advice = "correct the variable or the file that is named, and start again"


class ParameterError(SecretError):
    """The base of all errors about a single parameter of Parameter Store. `secret_id` is its name or ARN."""

    noun = "parameter"


class InvalidParameterNameError(ParameterError, InvalidSecretIdError):
    """Parameter Store cannot have a parameter with this name."""

    summary = "has a name that no parameter can have"
    default_advice = (
        "give a full path with a leading slash (/prod/db/host), a flat name without any slash, or an "
        "ARN with one slash after `parameter`; of letters, digits, `.`, `-` and `_`; the version or "
        "label may follow after a colon"
    )


class ParameterNotFoundError(ParameterError, SecretNotFoundError):
    """No parameter of this name exists in the client's account and Region."""

    default_advice = (
        "check the name with its leading slash, the account and the Region of the client; name a "
        "parameter that another account shares by its full ARN"
    )


class ParameterVersionNotFoundError(ParameterError, StageNotFoundError):
    """The parameter exists, but it has no such version, or none of its versions has this label."""

    summary = "has no such version or label"
    default_advice = "look at ssm:GetParameterHistory; only the latest 100 versions are kept"


class ParameterAccessDeniedError(ParameterError, AccessDeniedError):
    """The caller's policy or the key's policy denies the read."""

    default_advice = (
        "allow ssm:GetParameter (GetParameters, GetParametersByPath: each is a right of its own) on the "
        "parameter's ARN, which has one slash after `parameter`, and kms:Decrypt on the key of a "
        "SecureString"
    )


class ParameterDecryptionError(ParameterError, DecryptionError):
    """Parameter Store could not decrypt the value with the parameter's KMS key."""


class ParameterFormatError(ParameterError, SecretFormatError):
    """The parameter's value is not JSON, or not the JSON that the caller needs."""

    default_advice = "read its `value`, or store a JSON document"


class ParameterFieldError(ParameterError, SecretFieldError):
    """A settings field does not take the parameter's value, or the value lacks the key of the field."""


class ParameterUnavailableError(ParameterError, UnavailableError):
    """Parameter Store gave no answer, or no usable one. The same call may succeed later."""

    default_advice = (
        "try again; if it lasts, check the network path (VPC endpoint, DNS), the credentials and "
        "Parameter Store's throughput (40 reads a second in all unless higher throughput is on)"
    )


class ParameterClientSetupError(ParameterUnavailableError, ClientSetupError):
    """The client for Parameter Store cannot be made: no Region, no such profile, a wrong endpoint."""

    default_advice = ClientSetupError.default_advice
