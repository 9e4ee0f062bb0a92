"""What a rotation does to the staging labels, wherever Secrets Manager runs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from keyturn.testing.rotation import (
    Rotation,
    RotationError,
    Step,
    StepFunctions,
    version_stages,
)

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass
class Server:
    """A server that takes one password, as a database takes one user's."""

    password: str
    logins: list[str] = field(default_factory=list)

    def change(self, current: str, pending: str) -> None:
        assert self.password in (current, pending)
        self.password = pending

    def log_in(self, pending: str) -> None:
        self.logins.append(pending)
        assert pending == self.password


@dataclass
class Stage:
    """One secret, the server that takes it, and a rotation of it."""

    client: SecretsManagerClient
    name: str
    server: Server
    first: str

    def rotation(self, version_id: str | None = None) -> Rotation:
        steps = StepFunctions(
            self.client, lambda current: current + "'", self.server.change, self.server.log_in
        )
        return Rotation(self.client, self.name, steps, version_id=version_id)

    def read(self) -> object:
        """The value by GetSecretValue with neither a version nor a stage."""
        return self.client.get_secret_value(SecretId=self.name)["SecretString"]

    def labels(self) -> dict[str, set[str]]:
        """The versions that carry each stage."""
        found: dict[str, set[str]] = {}
        for version_id, stages in version_stages(self.client, self.name).items():
            for stage in stages:
                found.setdefault(stage, set()).add(version_id)
        return found


@pytest.fixture
def stage(client: SecretsManagerClient) -> Stage:
    """A secret with one version, taken by a server."""
    name = f"app/{uuid.uuid4()}"
    first = client.create_secret(Name=name, SecretString="one")["VersionId"]
    return Stage(client, name, Server("one"), first)


class RotationContract:
    """Every Secrets Manager that the driver is used on passes these; a subclass gives `client`."""

    def test_step_by_step(self, stage: Stage) -> None:
        """Each step does its own part: the label, the server, the login, the move of AWSCURRENT."""
        rotation = stage.rotation()
        rotation.create()
        assert {"AWSCURRENT": {stage.first}, "AWSPENDING": {rotation.version_id}} == stage.labels()
        assert stage.server.password == "one"
        rotation.set()
        assert stage.server.password == "one'"
        rotation.test()
        assert stage.server.logins == ["one'"]
        assert stage.read() == "one"
        rotation.finish()
        assert {"AWSCURRENT": {rotation.version_id}, "AWSPREVIOUS": {stage.first}} == stage.labels()
        assert rotation.done == ("createSecret", "setSecret", "testSecret", "finishSecret")

    def test_a_read_without_a_stage_is_the_current_version(self, stage: Stage) -> None:
        """After a rotation and after a rollback, a plain read answers what AWSCURRENT names."""
        rotation = stage.rotation()
        rotation.run()
        assert stage.read() == "one'"
        rotation.rollback()
        assert stage.read() == "one"

    def test_a_plain_put_after_a_rotation(self, stage: Stage) -> None:
        """A put outside any rotation moves AWSCURRENT and AWSPREVIOUS, each to one version."""
        rotation = stage.rotation()
        rotation.run()
        third = stage.client.put_secret_value(SecretId=stage.name, SecretString="three")
        assert {"AWSCURRENT": {third["VersionId"]}, "AWSPREVIOUS": {rotation.version_id}} == stage.labels()

    def test_rotations_in_a_row(self, stage: Stage) -> None:
        """Each rotation leaves two labelled versions; the one before loses its label."""
        rotations = [stage.rotation() for _ in range(3)]
        for rotation in rotations:
            rotation.run()
        assert {
            "AWSCURRENT": {rotations[2].version_id},
            "AWSPREVIOUS": {rotations[1].version_id},
        } == stage.labels()
        assert stage.server.password == "one'''"

    @pytest.mark.parametrize("step", ["createSecret", "setSecret", "testSecret", "finishSecret"])
    def test_fail_and_retry(self, stage: Stage, step: Step) -> None:
        """A rotation that fails in any step is completed by a retry, with the same version and value."""
        rotation = stage.rotation()
        with pytest.raises(RotationError, match=step):
            rotation.run(fail_in=step)
        assert {stage.first} == stage.labels()["AWSCURRENT"]
        rotation.retry()
        assert {rotation.version_id} == stage.labels()["AWSCURRENT"]
        assert "one'" == stage.read() == stage.server.password

    def test_stop_and_go_on(self, stage: Stage) -> None:
        """A rotation stopped after any step goes on with the next one, doing nothing twice."""
        rotation = stage.rotation()
        rotation.run(until="testSecret")
        assert stage.server.logins == ["one'"]
        rotation.run()
        assert stage.server.logins == ["one'"]
        assert {rotation.version_id} == stage.labels()["AWSCURRENT"]

    def test_abandon(self, stage: Stage) -> None:
        """An abandoned rotation leaves no AWSPENDING, cannot go on, and lets another one start."""
        rotation = stage.rotation()
        rotation.run(until="createSecret")
        with pytest.raises(RotationError, match="in progress"):
            stage.rotation().create()
        rotation.abandon()
        assert {"AWSCURRENT": {stage.first}} == stage.labels()
        with pytest.raises(RotationError, match="not AWSPENDING"):
            rotation.set()
        stage.rotation().run()
        assert stage.read() == "one'"

    def test_rollback(self, stage: Stage) -> None:
        """A rollback swaps AWSCURRENT and AWSPREVIOUS; before any rotation there is none."""
        rotation = stage.rotation()
        with pytest.raises(RotationError, match="AWSPREVIOUS"):
            rotation.rollback()
        rotation.run()
        rotation.rollback()
        assert {"AWSCURRENT": {stage.first}, "AWSPREVIOUS": {rotation.version_id}} == stage.labels()

    def test_a_rotation_function(self, stage: Stage) -> None:
        """A Lambda handler gets AWS's event at each step: the step, the secret, the token."""
        events: list[dict[str, str]] = []

        def handler(event: dict[str, str], context: object) -> None:
            assert context == "the context"
            events.append(event)

        rotation = Rotation(stage.client, stage.name, handler, version_id="v" * 32, context="the context")
        rotation.run()
        assert [
            {"Step": step, "SecretId": stage.name, "ClientRequestToken": "v" * 32}
            for step in ("createSecret", "setSecret", "testSecret", "finishSecret")
        ] == events

    def test_no_value_is_shown(self, stage: Stage) -> None:
        """Neither the driver nor its steps show a value."""
        rotation = stage.rotation()
        rotation.run()
        steps = StepFunctions(stage.client, "hunter2".join, test_value="hunter2".strip)
        assert "hunter2" not in repr(rotation) + repr(steps)
        assert "one'" not in repr(rotation)
