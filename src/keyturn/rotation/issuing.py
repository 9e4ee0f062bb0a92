"""createSecret where a server makes the new value, such as an API that issues keys.

A key lives from the moment when it is issued. So a key that is not stored is withdrawn, and the keys of
versions without a label are retired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from keyturn.aws.secretsmanager import VersionSource
from keyturn.errors import ConfigurationError, SecretNotFoundError, StageNotFoundError
from keyturn.model.plain import ran
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import AWSPREVIOUS, SecretVersion
from keyturn.runtime.logs import about, log

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

UNLABELLED_MAX: Final = 5
"""A rotation looks at no more versions without a label than this, the newest first."""


@runtime_checkable
class Issuer(Protocol):
    """A strategy whose new values are made by a server. `set` and `test` are as those of `Strategy`."""

    def retire(self, known: Sequence[SecretVersion], unlabelled: Iterator[SecretVersion]) -> object:
        """Take away what versions without a label name, and none of the `known` does."""
        ...

    def issue(self, current: SecretVersion, token: str) -> str:
        """Return the text of the new version. `token` is the same if createSecret is repeated."""
        ...

    def withdraw(self, made: SecretVersion, stored: SecretVersion) -> object:
        """Take away what `issue` made for `made`, unless `stored` has the same."""
        ...

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None: ...

    def test(self, pending: SecretVersion) -> None: ...


def retire(
    issuer: Issuer, client: SecretsManagerClient, source: SecretSource, current: SecretVersion
) -> None:
    """Let the issuer take away what no version with a label names. A failure is only logged.

    Raises `ConfigurationError` for a method that is async.
    """
    try:
        known = [current]
        with suppress(StageNotFoundError):
            known.append(source.read(current.secret_id, stage=AWSPREVIOUS))
        ran(issuer.retire(known, unlabelled(client, current.secret_id)), "retire")
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 # the next rotation tries again
        not_revoked(current.secret_id, error)


def withdraw(issuer: Issuer, made: SecretVersion, stored: SecretVersion) -> None:
    """Let the issuer take away what was made twice. A failure is only logged.

    Raises `ConfigurationError` for a method that is async.
    """
    try:
        ran(issuer.withdraw(made, stored), "withdraw")
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 # the other try has done the step
        not_revoked(made.secret_id, error)


def not_revoked(secret_id: str, error: Exception) -> None:
    """Log that a key lives on. The error's text may hold a value, so only its kind is logged."""
    log.warning(
        "a key of %s that nobody uses was not revoked: %s",
        secret_id,
        type(error).__name__,
        extra=about("not_revoked", secret=secret_id, error=error),
    )


def unlabelled(client: SecretsManagerClient, secret_id: str) -> Iterator[SecretVersion]:
    """Yield the newest versions without a label, at most `UNLABELLED_MAX`, the newest first.

    They are of earlier rotations, and of those that were cancelled. Secrets Manager deletes them in the end.
    """
    found: list[tuple[float, str]] = []
    page = client.list_secret_version_ids(SecretId=secret_id, IncludeDeprecated=True)
    while True:
        found += [
            (version["CreatedDate"].timestamp(), version["VersionId"])
            for version in page.get("Versions", [])
            if not version.get("VersionStages")
        ]
        following = page.get("NextToken")
        if not following:
            break
        page = client.list_secret_version_ids(SecretId=secret_id, IncludeDeprecated=True, NextToken=following)
    source = VersionSource(lambda: client)
    # The sort is stable: of two versions of one second, the one that is listed later comes first.
    found.sort(key=lambda one: one[0])
    for _, version_id in found[: -UNLABELLED_MAX - 1 : -1]:
        try:
            read = source.read(secret_id, stage=version_id)
        except (SecretNotFoundError, StageNotFoundError):
            continue
        # A label may have moved since the listing.
        if not read.stages:
            yield read
