"""The central promise, on real servers: no login fails because a secret rotated.

A fleet opens new connections all the time while the password of its user rotates, in every way that
a rotation can go. Beside it, in the same run, are processes that do what is usual: refresh and retry
once. Their failures are printed, ours have to be none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal

import boto3
import pytest
from botocore.config import Config

from keyturn.testing.embedded import EmbeddedAws, EmbeddedPostgres
from tests.integrations import fleet
from tests.integrations.fleet import Fleet, LogIn
from tests.integrations.scene import SETTLE_S, Scene

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from keyturn.testing.rotation import Step

pytestmark = pytest.mark.e2e

ATTEMPTS_MAX = 1 + len(("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"))

Clients = tuple["SecretsManagerClient", "DynamoDBClient"]


@pytest.fixture(scope="session")
def clients(embedded_aws: EmbeddedAws) -> Iterator[Clients]:
    """Clients with room for the whole fleet."""
    config = Config(max_pool_connections=30)
    secrets = boto3.client("secretsmanager", config=config, **embedded_aws.client_arguments)
    tables = boto3.client("dynamodb", config=config, **embedded_aws.client_arguments)
    yield secrets, tables
    secrets.close()
    tables.close()


def single_user(scene: Scene) -> None:
    """The four steps, some time apart."""
    rotation = scene.rotation()
    for step in (rotation.create, rotation.set, rotation.test, rotation.finish):
        step()
        scene.hold()


def two_in_a_row(scene: Scene) -> None:
    """One rotation right after the other."""
    scene.rotation().run()
    scene.rotation().run()
    scene.hold()
    single_user(scene)


def alternating_users(scene: Scene) -> None:
    """Both users get their turn, and the first one its second."""
    scene.alternate()
    scene.hold()
    for _ in range(3):
        rotation = scene.rotation()
        rotation.run(until="setSecret")
        scene.hold()
        rotation.run()
        scene.hold()


def stopped(scene: Scene, step: Step, then: Literal["retried", "abandoned", "left"]) -> None:
    """The rotation stops after this step; what then becomes of it."""
    rotation = scene.rotation()
    rotation.run(until=step)
    scene.hold(SETTLE_S)
    if then == "retried":
        rotation.retry()
    if then == "abandoned":
        rotation.abandon()
        scene.announce(scene.name)
    scene.hold(1.5 * SETTLE_S)


def rolled_back(scene: Scene, first: Literal["label", "server"]) -> None:
    """Label and server go back to the version before, some time apart."""
    before = scene.secrets.get_secret_value(SecretId=scene.name)["VersionId"]
    rotation = scene.rotation()
    # Which version is the newer one is told by dates, which the emulator cuts to whole seconds.
    scene.hold(1.0)
    rotation.run()
    scene.hold()

    def label() -> None:
        rotation.rollback()
        # As the event of the move tells the listener.
        scene.announce(scene.name, version_id=before, step="finishSecret")

    def server() -> None:
        scene.on_server("ALTER ROLE {} PASSWORD {}", scene.user, scene.password)

    for move in (label, server) if first == "label" else (server, label):
        move()
        scene.hold()
    scene.hold(SETTLE_S)


STORIES: dict[str, Callable[[Scene], None]] = {
    "single user": single_user,
    "two in a row": two_in_a_row,
    "alternating users": alternating_users,
    "stopped after createSecret, then retried": partial(stopped, step="createSecret", then="retried"),
    "stopped after setSecret, then retried": partial(stopped, step="setSecret", then="retried"),
    "stopped after testSecret, then retried": partial(stopped, step="testSecret", then="retried"),
    "stopped after createSecret, then abandoned": partial(stopped, step="createSecret", then="abandoned"),
    "stopped after setSecret, then left": partial(stopped, step="setSecret", then="left"),
}
"""AWSCURRENT or AWSPENDING always names what the server accepts."""

QUICK = "single user"
"""The story that `make test` tells; `make proofs` tells the others."""

ROLL_BACKS: dict[str, Callable[[Scene], None]] = {
    "rolled back, label first": partial(rolled_back, first="label"),
    "rolled back, server first": partial(rolled_back, first="server"),
}
"""For a while only AWSPREVIOUS names it: the newer one where the label goes back first, else the older."""

CANCELLED: dict[str, Callable[[Scene], None]] = {
    "stopped after setSecret, then abandoned": partial(stopped, step="setSecret", then="abandoned"),
    "stopped after testSecret, then abandoned": partial(stopped, step="testSecret", then="abandoned"),
}
"""At the end no stage names it: only who logged in with it knows it."""


def run(scene: Scene, story: Callable[[Scene], None], title: str, **ours: LogIn) -> None:
    """Tell the story to a fleet; `AssertionError` if keyturn failed one login or tried too often.

    `ours`: kinds of keyturn's processes beside the warm ones.
    """
    usual = partial(fleet.refresh_and_retry_once, scene.secrets, scene.name)
    warm = partial(fleet.keyturn, scene.cache, scene.name)
    kinds = {"usual": [usual(), usual()], "warm": [warm(), warm()]} | {
        kind: [one] for kind, one in ours.items()
    }
    with Fleet(kinds) as running:
        story(scene)
    records = {kind: running.of(kind) for kind in kinds}
    for kind, record in records.items():
        print(  # noqa: T201 # the others' count is half of what this shows
            f"{title:45} {kind:6} {len(record.failures):3} of {record.tried:3} logins failed,"
            f" at most {record.attempts_max} attempts and {record.slowest_s:.2f} s"
        )
    del records["usual"]
    for kind, record in records.items():
        assert [] == [str(failure) for failure in record.failures], kind
        assert record.attempts_max <= ATTEMPTS_MAX
        assert record.tried > 10


@pytest.mark.parametrize(
    "title", [title if title == QUICK else pytest.param(title, marks=pytest.mark.proof) for title in STORIES]
)
def test_no_login_fails(clients: Clients, postgres: EmbeddedPostgres, title: str) -> None:
    """While a stage names what the server accepts: 0 failed logins, warm or cold, in at most 4 attempts."""
    scene = Scene(*clients, postgres)
    run(scene, STORIES[title], title, cold=fleet.keyturn_cold(scene.cache, scene.name))


@pytest.mark.proof
@pytest.mark.parametrize("title", ROLL_BACKS)
def test_no_login_fails_in_a_roll_back(clients: Clients, postgres: EmbeddedPostgres, title: str) -> None:
    """Warm processes wait or know; those just started try AWSPREVIOUS, the older one by choice: 0 failed."""
    scene = Scene(*clients, postgres)
    cold = fleet.keyturn_cold(scene.cache, scene.name, previous="server first" in title)
    run(scene, ROLL_BACKS[title], title, cold=cold)


@pytest.mark.proof
@pytest.mark.parametrize("title", CANCELLED)
def test_no_login_of_a_warm_process_fails(clients: Clients, postgres: EmbeddedPostgres, title: str) -> None:
    """No stage names what the server accepts, but this process logged in with it: 0 failed logins."""
    run(Scene(*clients, postgres), CANCELLED[title], title)


@pytest.mark.proof
@pytest.mark.parametrize("trouble", ["dead listener", "unreachable table"])
def test_no_login_fails_without_markers(clients: Clients, postgres: EmbeddedPostgres, trouble: str) -> None:
    """Nobody writes markers, or nobody can read them: slower to notice, and still 0 failed logins."""
    dead = trouble == "dead listener"
    scene = Scene(*clients, postgres, announces=not dead, table_is_reachable=dead)
    run(scene, single_user, trouble, cold=fleet.keyturn_cold(scene.cache, scene.name))


def test_an_announced_set_secret_needs_no_refusal(clients: Clients, postgres: EmbeddedPostgres) -> None:
    """One check interval after the function announced setSecret, a login is one attempt, with AWSPENDING."""
    scene = Scene(*clients, postgres)
    log_in = fleet.keyturn(scene.cache, scene.name)
    rotation = scene.rotation()
    attempts = [log_in()]
    for step in ("setSecret", "finishSecret"):
        rotation.run(until=step)
        scene.hold()
        attempts.append(log_in())
    assert [1, 1, 1] == attempts
