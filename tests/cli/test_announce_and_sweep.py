"""`keyturn announce` and `keyturn sweep`: they write what the listener would have written."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from keyturn.aws.clients import ClientFactory
from keyturn.cli import announce, sweep
from keyturn.cli.account import Account
from keyturn.markers.recorder import Outcome, Recorded
from keyturn.markers.sweeper import Swept
from keyturn.model.markers import Marker
from tests.cli.conftest import TABLE, World

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MARKER = Marker("arn:k", "arn:k", {"AWSCURRENT": "v1"})


def test_announce_writes_the_marker(world: World) -> None:
    """After it the marker says what Secrets Manager says; the same again changes nothing."""
    version_id = world.rotate("prod/db")
    first = world.asked("announce", "prod/db", "--version-id", version_id, "--step", "finishSecret")
    stages = cast("dict[str, str]", first["stages"])
    assert ("written", version_id) == (first["outcome"], stages["AWSCURRENT"])
    again = world.run("announce", "prod/db")
    assert (0, True) == (again.exit_code, "unchanged" in again.stdout)


def test_announce_of_no_secret_says_no(world: World) -> None:
    """Exit code 1: nothing could be recorded."""
    result = world.run("announce", "prod/nothing")
    assert (1, True) == (result.exit_code, "no such secret" in result.stdout)


@pytest.mark.parametrize(
    ("recorded", "code", "says"),
    [
        (Recorded(Outcome.WRITTEN, MARKER), 0, "AWSCURRENT v1"),
        (Recorded(Outcome.UNCHANGED, MARKER), 0, "already"),
        (Recorded(Outcome.WRITTEN, MARKER._replace(deleted=True)), 0, "deleted"),
        (Recorded(Outcome.DEFERRED, MARKER, 5), 1, "announce it again"),
        (Recorded(Outcome.UNCHANGED, None), 1, "no such secret"),
    ],
)
def test_each_outcome_has_its_words_and_code(recorded: Recorded, code: int, says: str) -> None:
    """Exit code 1 where the marker does not say what was announced, with what to do."""
    assert (code, True) == (
        announce.exit_code(recorded),
        says in announce.sentence("db", recorded, "markers"),
    )
    key = recorded.marker.key if recorded.marker is not None else None
    assert (recorded.outcome.value, key) == tuple(
        announce.document("db", recorded, "markers")[name] for name in ("outcome", "key")
    )


def test_sweep_makes_markers_and_renews_the_lease(world: World) -> None:
    """Every secret has a marker afterwards, and a second sweep finds nothing to do."""
    first, second = world.asked("sweep"), world.asked("sweep")
    assert (1, 1, True) == (first["listed"], first["first"], first["renewed"])
    assert (0, 0, True) == (second["first"], second["corrected"], second["renewed"])


def test_sweep_marks_only_what_has_the_tag(world: World) -> None:
    """`--tag` is the listener's own choice too; one that cannot be looked for is a wrong command line."""
    assert "0 listed" in world.run("sweep", "--tag", "keyturn=yes").stdout
    world.secrets.tag_resource(SecretId="prod/db", Tags=[{"Key": "keyturn", "Value": "yes"}])
    assert "1 listed, 1 new" in world.run("sweep", "--tag", "keyturn=yes").stdout
    assert 2 == world.run("sweep", "--tag", "!").exit_code


def test_sweep_watches_only_what_begins_so(world: World) -> None:
    """`--prefix` is the listener's own choice of secrets."""
    world.create("test/db")
    result = world.run("sweep", "--prefix", "test/")
    assert (0, "1 listed, 1 new") == (result.exit_code, result.stdout[:15])


def test_a_lease_that_was_not_renewed_is_said_so() -> None:
    """The words leave no doubt, nor does the exit code."""
    failed, renewed = Swept(failed=1), Swept(renewed=True)
    assert (1, True) == (sweep.exit_code(failed), "NOT renewed" in sweep.sentence(failed))
    assert (0, False) == (sweep.exit_code(renewed), "NOT renewed" in sweep.sentence(renewed))


class MeetingClients(ClientFactory):
    """Clients for Secrets Manager that answer DescribeSecret only once two calls are under way."""

    def make(self, service: str, *given: object, **named: object) -> object:
        client = super().make(service, *given, **named)  # type: ignore[arg-type]
        if service != "secretsmanager":
            return client
        one = cast("SecretsManagerClient", client)
        meeting = threading.Barrier(2, timeout=5.0)

        def describe(SecretId: str) -> object:
            meeting.wait()
            return one.describe_secret(SecretId=SecretId)

        return SimpleNamespace(describe_secret=describe, list_secrets=one.list_secrets)


def test_a_sweep_describes_secrets_side_by_side(world: World) -> None:
    """As the listener does. One after the other, 10,000 can outlast the lease that is renewed at the end."""
    world.create("prod/other")
    swept = Account(TABLE, "eu-west-1", clients=MeetingClients()).sweeper().run(lambda: False)
    assert (2, 0, True) == (swept.first, swept.failed, swept.renewed)


@pytest.mark.parametrize("command", [["announce", "prod/db"], ["sweep"]])
def test_a_table_that_is_not_there_is_one_line(world: World, command: list[str]) -> None:
    """Exit code 3, and what to do."""
    result = world.run(*command, "--marker-table", "missing")
    assert (3, "", True) == (result.exit_code, result.stdout, "deploy the stack" in result.stderr)


def test_without_a_region_it_says_what_to_set(world: World) -> None:
    """A configuration that cannot work is exit code 2."""
    nowhere = {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    result = world.run("sweep", environment=nowhere)
    assert (2, True) == (result.exit_code, "AWS_REGION" in result.stderr)


def test_without_a_table_it_says_which_option(world: World) -> None:
    """The table has no default."""
    result = world.run("sweep", environment={"KEYTURN_MARKER_TABLE": ""})
    assert (2, True) == (result.exit_code, "--marker-table" in result.stderr)


@pytest.mark.parametrize("option", ["--prefix", "--parameter-prefix", "--tag"])
@pytest.mark.parametrize("given", ["", " "])
def test_an_empty_choice_is_refused(world: World, option: str, given: str) -> None:
    """A variable of a script that is not set must not put the names of all secrets into the table."""
    result = world.run("sweep", option, given)
    assert (2, True) == (result.exit_code, f"'{option}': it is empty" in result.stderr)
    assert [] == world.dynamodb.scan(TableName=TABLE)["Items"]


@pytest.mark.parametrize("option", ["--prefix", "--parameter-prefix"])
def test_a_list_of_prefixes_in_one_text_is_refused(world: World, option: str) -> None:
    """The stack takes such a list. The sweep would find nothing, and renew the lease all the same."""
    world.run("sweep")
    result = world.run("sweep", option, "/prod/,/test/")
    assert (2, True) == (result.exit_code, "repeat the option" in result.stderr)
