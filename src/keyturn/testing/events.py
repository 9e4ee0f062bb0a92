"""The events that Secrets Manager sends while its secrets change, and a bus that can lose them.

The shapes are those of "Secret Label Updated" and of the two kinds of CloudTrail events in the Secrets
Manager user guide ("Monitor Secrets Manager events", "Log events with CloudTrail"). Only a real account can
show how late, how often and in which order AWS delivers them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from keyturn.model.names import Arn
from keyturn.model.versions import AWSPENDING, AWSPREVIOUS

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Event: TypeAlias = Mapping[str, object]

SOURCE: Final = "secretsmanager.amazonaws.com"
UNTOLD: Final = frozenset({AWSPENDING, AWSPREVIOUS})
"""The labels whose moves have no native event (user guide, "Secret Label Updated")."""


class EventBus:
    """Passes each event to `target`, by default once and at once. `sent` has all events that were sent.

    The blocks `dropping`, `doubling` and `holding` change the delivery. They may be nested; the innermost
    block counts.
    """

    def __init__(self, target: Callable[[Event], object]) -> None:
        self.sent: list[Event] = []
        self.held: list[Event] = []
        self._target = target
        self._accept: Callable[[Event], object] = target

    def send(self, event: Event) -> None:
        """Accept an event as EventBridge would from Secrets Manager."""
        self.sent.append(event)
        self._accept(event)

    def dropping(self) -> AbstractContextManager[None]:
        """Lose the events that are sent in the block."""
        return self._instead(lambda _event: None)

    def doubling(self) -> AbstractContextManager[None]:
        """Deliver the events that are sent in the block twice."""
        return self._instead(lambda event: (self._target(event), self._target(event)))

    def holding(self) -> AbstractContextManager[None]:
        """Keep the events that are sent in the block until `release`."""
        return self._instead(self.held.append)

    def release(self, order: Callable[[Sequence[Event]], Iterable[Event]] = iter) -> None:
        """Deliver the held events, in their order or in another one: `release(reversed)`."""
        held, self.held = self.held, []
        for event in order(held):
            self._target(event)

    @contextmanager
    def _instead(self, accept: Callable[[Event], object]) -> Iterator[None]:
        before, self._accept = self._accept, accept
        try:
            yield
        finally:
            self._accept = before


class SecretEvents:
    """Sends the events that AWS would send about one secret: one for each label that moved.

    With `cloudtrail` it also sends the API calls behind the moves and the service events of Secrets Manager,
    as an account with a trail gets them. `wall` returns the events' time in epoch seconds. No event has a
    value.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        secret_id: str,
        send: Callable[[Event], object],
        *,
        wall: Callable[[], float],
        cloudtrail: bool = False,
    ) -> None:
        self._client = client
        self._secret_id = secret_id
        self._send = send
        self._wall = wall
        self._send_trailed: Callable[[Event], object] = send if cloudtrail else lambda _event: None

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Send events about the labels that moved in the block, whether the block ends or raises."""
        _, _, before = self._labels()
        try:
            yield
        finally:
            arn, name, after = self._labels()
            for label in sorted(before.keys() | after.keys()):
                if before.get(label) != after.get(label):
                    self._moved(arn, name, label, before.get(label), after.get(label))

    def tell(self, name: str) -> None:
        """Send a service event such as RotationSucceeded, which only CloudTrail has."""
        arn, _, _ = self._labels()
        detail = {
            "eventName": name,
            "eventType": "AwsServiceEvent",
            "requestParameters": None,
            "responseElements": None,
            "additionalEventData": {"SecretId": arn},
        }
        self._send_trailed(self._event("AWS Service Event via CloudTrail", arn, detail))

    def _moved(self, arn: str, name: str, label: str, left: str | None, taken: str | None) -> None:
        if taken is not None and label not in UNTOLD:
            detail = {"name": name, "labelUpdated": label, "versionId": taken}
            self._send(self._event("Secret Label Updated", arn, detail, resources=[arn]))
        if label != AWSPREVIOUS:  # AWSPREVIOUS follows AWSCURRENT without a call of its own
            self._send_trailed(self._call(arn, label, left, taken))

    def _call(self, arn: str, label: str, left: str | None, taken: str | None) -> Event:
        """Return the event of the call behind a move.

        The call put a new pending version, or moved another label.
        """
        if label == AWSPENDING and taken is not None:
            name = "PutSecretValue"
            request: dict[str, object] = {"clientRequestToken": taken, "versionStages": [label]}
        else:
            name = "UpdateSecretVersionStage"
            request = {"versionStage": label, "moveToVersionId": taken, "removeFromVersionId": left}
        asked = {key: value for key, value in request.items() if value is not None}
        detail = {
            "eventName": name,
            "eventType": "AwsApiCall",
            "requestParameters": {"secretId": arn, **asked},
            "responseElements": {"arn": arn},
        }
        return self._event("AWS API Call via CloudTrail", arn, detail)

    def _event(
        self, kind: str, arn: str, detail: Mapping[str, object], *, resources: Sequence[str] = ()
    ) -> Event:
        fields = Arn.parse(arn)
        time = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="seconds")
        is_trailed = kind.endswith("CloudTrail")
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": "aws.secretsmanager",
            "account": fields.account if fields is not None else "",
            "region": fields.region if fields is not None else "",
            "time": time.replace("+00:00", "Z"),
            "resources": list(resources),
            "detail": {**({"eventSource": SOURCE} if is_trailed else {}), **detail},
        }

    def _labels(self) -> tuple[str, str, dict[str, str]]:
        """Return the ARN, the name, and the version that has each label now."""
        described = self._client.describe_secret(SecretId=self._secret_id)
        versions = described.get("VersionIdsToStages", {})
        labels = {label: version_id for version_id, stages in versions.items() for label in stages}
        return described["ARN"], described["Name"], labels
