"""Powertools' own functions read from a cache that follows rotations."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest.mock import Mock

import pytest
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters import GetParameterError, TransformParameterError
from aws_lambda_powertools.utilities.parameters.constants import DEFAULT_PROVIDERS

from keyturn import ConfigurationError, Peers, SecretCache, SecretNotFoundError
from keyturn.integrations.powertools import follow_rotations
from keyturn.testing.fakes import FakeClock, FakeParameterStore, FakeSecretsManager


@dataclass
class Scene:
    """The services in memory, and a cache that Powertools reads from."""

    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.secrets, self.store = FakeSecretsManager(self.clock), FakeParameterStore(self.clock)
        self.cache = SecretCache(
            peers=Peers(source=self.secrets, parameter_source=self.store.source, clock=self.clock)
        )


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Powertools follows rotations during the test; its providers' clients are never asked."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    before = dict(DEFAULT_PROVIDERS)
    scene = Scene()
    follow_rotations(scene.cache)
    for provider in DEFAULT_PROVIDERS.values():
        provider.client = Mock(spec=[])
    yield scene
    DEFAULT_PROVIDERS.clear()
    DEFAULT_PROVIDERS.update(before)


def test_a_secret_follows_its_rotation(scene: Scene) -> None:
    """`max_age` keeps nothing: the copy is as fresh as the cache's own, and read once."""
    scene.secrets.create("prod/key", "one", "v1")
    assert ["one", "one"] == [parameters.get_secret("prod/key", max_age=10_000) for _ in range(2)]
    assert 1 == scene.secrets.calls["GetSecretValue"]
    scene.secrets.put("prod/key", "two", "v2")
    scene.clock.advance(301)
    assert "two" == parameters.get_secret("prod/key", max_age=10_000)


def test_transforms_are_powertools_own(scene: Scene) -> None:
    """JSON, base64, and the error for what is neither; a binary secret is bytes."""
    scene.secrets.create("prod/json", json.dumps({"a": 1}), "v1")
    scene.secrets.create("prod/base64", "b25l", "v1")
    scene.secrets.create("prod/binary", b"\x00one", "v1")
    assert {"a": 1} == parameters.get_secret("prod/json", transform="json")
    assert b"one" == parameters.get_secret("prod/base64", transform="binary")
    binary: object = parameters.get_secret("prod/binary")
    assert b"\x00one" == binary
    with pytest.raises(TransformParameterError):
        parameters.get_secret("prod/base64", transform="json")


def test_a_stage_and_a_forced_read(scene: Scene) -> None:
    """`VersionStage` is passed on, `force_fetch` reads anew, and what cannot be passed on is named."""
    scene.secrets.create("prod/key", "one", "v1")
    scene.secrets.put("prod/key", "two", "v2", "AWSPENDING")
    assert "two" == parameters.get_secret("prod/key", VersionStage="AWSPENDING")
    parameters.get_secret("prod/key")
    before = scene.secrets.calls["GetSecretValue"]
    parameters.get_secret("prod/key", force_fetch=True)
    assert before + 1 == scene.secrets.calls["GetSecretValue"]
    with pytest.raises(ConfigurationError, match="VersionId"):
        parameters.get_secret("prod/key", VersionId="v1")


def test_errors_are_powertools_own(scene: Scene) -> None:
    """With keyturn's as the cause, which says what to do."""
    with pytest.raises(GetParameterError, match="nowhere") as failed:
        parameters.get_secret("nowhere")
    assert isinstance(failed.value.__cause__, SecretNotFoundError)
    with pytest.raises(GetParameterError):
        parameters.get_parameter("/nowhere")


def test_parameters(scene: Scene) -> None:
    """One parameter, and all below a path by their names relative to it; `decrypt` is off by default."""
    scene.store.put("/prod/app/host", "db.example")
    scene.store.put("/prod/app/limits", json.dumps({"a": 1}))
    assert "db.example" == parameters.get_parameter("/prod/app/host", decrypt=True)
    assert "db.example" == parameters.get_parameter("/prod/app/host")
    assert {"a": 1} == parameters.get_parameter("/prod/app/limits", transform="json")
    found = parameters.get_parameters("/prod/app", decrypt=True)
    assert {"host": "db.example", "limits": json.dumps({"a": 1})} == found
    scene.store.put("/prod/app/host", "moved.example")
    scene.clock.advance(301)
    assert "moved.example" == parameters.get_parameter("/prod/app/host", decrypt=True)


def test_a_forced_read_of_a_path(scene: Scene) -> None:
    """`force_fetch` reads each value below the path anew, as Powertools does."""
    scene.store.put("/prod/app/host", "db.example")
    scene.store.put("/prod/app/port", "5432")
    parameters.get_parameters("/prod/app", decrypt=True)
    scene.store.put("/prod/app/host", "moved.example")
    scene.clock.advance(2)
    assert "db.example" == parameters.get_parameters("/prod/app", decrypt=True)["host"]
    found = parameters.get_parameters("/prod/app", decrypt=True, force_fetch=True)
    assert {"host": "moved.example", "port": "5432"} == found


def test_a_transform_that_fails_shows_no_value(scene: Scene) -> None:
    """Neither the error, nor what it came from, nor a frame that it went through has the text."""
    canary = "canary-7Kq2 is no JSON"
    scene.secrets.create("prod/key", canary, "v1")
    scene.secrets.create("prod/binary", b"\xff" + canary.encode(), "v1")
    scene.store.put("/prod/app/key", canary)
    for fails in (
        lambda: parameters.get_secret("prod/binary", transform="json"),
        lambda: parameters.get_secret("prod/binary", transform="binary"),
        lambda: parameters.get_secret("prod/binary", transform="auto"),
        lambda: parameters.get_secret("prod/key", transform="json"),
        lambda: parameters.get_parameter("/prod/app/key", transform="json", decrypt=True),
        lambda: parameters.get_parameters(
            "/prod/app", transform="json", decrypt=True, raise_on_transform_error=True
        ),
    ):
        with pytest.raises(TransformParameterError) as failed:
            fails()
        assert failed.value.__context__ is None
        frames = [frame for frame, _ in traceback.walk_tb(failed.value.__traceback__)]
        below = [frame.f_locals for frame in frames if frame.f_globals["__name__"] != __name__]
        assert len(below) >= 2
        assert "canary-7Kq2" not in f"{failed.value}{below!r}"
