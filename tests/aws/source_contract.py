"""What every `SecretSource` keeps, whatever it reads through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pytest

from keyturn.errors import SecretNotFoundError, StageNotFoundError
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import SecretVersion

ODD_NAME = "/prod/db & co=1+2@x_y.z-%2F"
"""Every kind of character that a query has to escape, as far as a secret's name may have it."""


class Rig(Protocol):
    """The other side: makes secrets and moves labels. Both answer with an id of AWS's or of their own."""

    def create(self, name: str, value: str | bytes) -> str:
        """Make a secret; its full ARN."""
        ...

    def rotate(self, name: str, value: str) -> str:
        """Put a value under AWSCURRENT; its version id."""
        ...


@dataclass(frozen=True, slots=True)
class Scene:
    """A source, and the service behind it."""

    source: SecretSource
    rig: Rig
    names_any_character: bool = True

    def current(self, secret_id: str) -> SecretVersion:
        return self.source.read(secret_id, stage="AWSCURRENT")


class SourceContract:
    """Every implementation inherits these tests and brings its own `scene`."""

    def test_a_version_with_all_that_the_answer_tells(self, scene: Scene) -> None:
        """Text, ARN, name, version, stages and creation date, under the id that was asked."""
        arn = scene.rig.create("prod/db", "one")
        version = scene.current("prod/db")
        assert ("prod/db", arn, "prod/db") == (version.secret_id, version.arn, version.name)
        assert ("one", frozenset({"AWSCURRENT"})) == (version.text(), version.stages)
        assert version.created_s is not None
        assert version.version_id

    def test_by_full_arn_and_with_odd_characters(self, scene: Scene) -> None:
        """An id reaches the service as it was typed."""
        name = ODD_NAME if scene.names_any_character else "/prod/db+2@x_y.z="
        arn = scene.rig.create(name, "odd")
        assert ["odd", "odd"] == [scene.current(one).text() for one in (name, arn)]

    def test_bytes_stay_bytes(self, scene: Scene) -> None:
        """A binary secret comes as it was stored."""
        scene.rig.create("blob", b"\x00\xff\n")
        assert b"\x00\xff\n" == scene.current("blob").blob()

    def test_text_stays_text(self, scene: Scene) -> None:
        """Text outside of ASCII comes as it was stored."""
        scene.rig.create("text", "pä$$wörd \u2028 🔑")
        assert "pä$$wörd \u2028 🔑" == scene.current("text").text()

    def test_each_stage_is_a_version_of_its_own(self, scene: Scene) -> None:
        """AWSPREVIOUS is the version that AWSCURRENT has left."""
        scene.rig.create("prod/db", "one")
        before = scene.current("prod/db")
        scene.rig.rotate("prod/db", "two")
        assert "two" == scene.current("prod/db").text()
        previous = scene.source.read("prod/db", stage="AWSPREVIOUS")
        assert (before.version_id, "one") == (previous.version_id, previous.text())

    def test_a_pinned_read(self, scene: Scene) -> None:
        """With a version id: that version, if the label is on it."""
        scene.rig.create("prod/db", "one")
        version_id = scene.rig.rotate("prod/db", "two")
        pinned = scene.source.read("prod/db", stage="AWSCURRENT", version_id=version_id)
        assert (version_id, "two") == (pinned.version_id, pinned.text())
        assert "AWSCURRENT" in pinned.stages

    def test_a_label_that_is_not_there(self, scene: Scene) -> None:
        """No pending version: `StageNotFoundError`, not "no such secret"."""
        scene.rig.create("prod/db", "one")
        with pytest.raises(StageNotFoundError, match="prod/db"):
            scene.source.read("prod/db", stage="AWSPENDING")

    def test_a_secret_that_is_not_there(self, scene: Scene) -> None:
        """`SecretNotFoundError`, under whatever stage."""
        for stage in ("AWSCURRENT", "AWSPENDING"):
            with pytest.raises(SecretNotFoundError, match="nowhere"):
                scene.source.read("nowhere", stage=stage)
