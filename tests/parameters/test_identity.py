"""A parameter is one entry whatever it is called; its versions, labels and ciphertext are others."""

from __future__ import annotations

import pytest

from keyturn import ConfigurationError, Parameter, ParameterNotFoundError, SecretCache
from tests.parameters.conftest import ARN, NAME, World


def test_a_hit_is_the_very_same_object_and_asks_nobody(world: World) -> None:
    """The second read gives what the first gave, by no call."""
    cache = world.cache()
    first = cache.get_parameter(NAME)
    assert first is cache.get_parameter(NAME)
    assert 1 == world.reads


def test_name_and_arn_share_one_entry(world: World) -> None:
    """After a read by ARN one by name is the same entry, and a change reaches both by one read."""
    cache = world.cache()
    assert (ARN, ARN) == (cache.get_parameter(ARN).secret_id, cache.get_parameter(ARN).arn)
    cache.get_parameter(NAME)
    assert 1 == len(cache.status().parameters)
    world.put("two")
    world.event()
    before = world.reads
    world.clock.advance(5)
    assert ["two", "two"] == [cache.get_parameter(one).value for one in (NAME, ARN)]
    assert before + 1 == world.reads


@pytest.mark.parametrize("first", [True, False])
def test_value_and_ciphertext_never_answer_for_each_other(world: World, first: bool) -> None:  # noqa: FBT001
    """Whether a value is decrypted is part of what is asked for, in either order."""
    cache = world.cache()
    got = {decrypt: cache.get_parameter(NAME, decrypt=decrypt).value for decrypt in (first, not first)}
    assert {True: "one", False: "kms:alias/aws/ssm:one"} == got
    assert got == {decrypt: cache.get_parameter(NAME, decrypt=decrypt).value for decrypt in (True, False)}
    assert 2 == world.reads


def test_versions_and_labels_are_entries_of_their_own(world: World) -> None:
    """The latest version, a labelled one and a numbered one never answer for each other."""
    world.put("two")
    world.ssm.label_parameter_version(Name=NAME, ParameterVersion=1, Labels=["good"])
    world.calls.clear()
    cache = world.cache()
    for _ in range(2):
        assert "two" == cache.get_parameter(NAME).value
        assert "one" == cache.get_parameter(NAME, label="good").value
        assert "one" == cache.get_parameter(NAME, version=1).value
        assert "two" == cache.get_parameter(NAME, version=2).value
    assert 4 == world.reads


def test_a_selector_may_stand_in_the_name(world: World) -> None:
    """`name:1` and `version=1` are one entry."""
    world.put("two")
    cache = world.cache()
    assert "one" == cache.get_parameter(f"{NAME}:1").value
    assert "one" == cache.get_parameter(NAME, version=1).value
    assert "one" == cache.get_parameter(f"{ARN}:1").value
    assert 1 == world.reads


@pytest.mark.parametrize(
    ("name", "version", "label"), [(NAME, 1, "good"), (f"{NAME}:1", 1, None), (f"{NAME}:1", None, "good")]
)
def test_one_selector_at_a_time(world: World, name: str, version: int | None, label: str | None) -> None:
    """A version and a label at once: a clear error, and no call."""
    with pytest.raises(ConfigurationError, match="a version or a label"):
        world.cache().get_parameter(name, version=version, label=label)
    assert 0 == world.reads


def test_a_parameter_is_no_secret_of_the_same_name(world: World) -> None:
    """A secret and a parameter may have the same name; neither is given for the other."""
    world.secrets.create(NAME, "of the secret")
    cache = world.cache()
    for _ in range(2):
        assert "of the secret" == cache.get_secret_string(NAME)
        assert "one" == cache.get_parameter(NAME).value


def test_a_parameter_knows_its_kind(world: World) -> None:
    """Type, version, items of a StringList, JSON; a String with commas is one item."""
    world.put("a,b", "/list", "StringList")
    world.put("a,b", "plain", "String")
    world.put('{"user": "app"}', "/json", "String")
    cache = world.cache()
    several, plain = cache.get_parameter("/list"), cache.get_parameter("plain")
    assert ("StringList", ("a", "b")) == (several.type, several.values)
    assert ("String", ("a,b",), 1) == (plain.type, plain.values, plain.version)
    assert {"user": "app"} == cache.get_parameter("/json").json()
    assert isinstance(plain, Parameter)


def test_a_parameter_that_is_not_there_is_asked_for_once_a_second(world: World) -> None:
    """A missing parameter is a typed error that names it, and a storm of callers makes one call."""
    cache = world.cache()
    for _ in range(100):
        with pytest.raises(ParameterNotFoundError, match="parameter '/nowhere' was not found"):
            cache.get_parameter("/nowhere")
    assert 1 == world.reads


def test_no_representation_shows_the_value(world: World) -> None:
    """A parameter, the cache's status and the errors are printed without values."""
    world.put("canary-7d1f")
    cache: SecretCache = world.cache()
    shown = [repr(cache.get_parameter(NAME)), str(cache.get_parameter(NAME)), repr(cache.status())]
    assert not any("canary" in one for one in shown)
