"""What a parameter may be called, and what is said of what it may not."""

from __future__ import annotations

import pytest

from keyturn import InvalidParameterNameError, SecretNotFoundError
from keyturn.model.names import name_in
from tests.parameters.conftest import ARN, NAME, World

REFERENCE = "/aws/reference/secretsmanager/prod/db"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "prod/db",
        "//prod/db",
        "/prod//db",
        "/prod/db/",
        "%2Fprod%2Fdb",
        "/prod/db?x=1",
        "/prod/db password",
        "/prod/db:",
        "/prod/db:a:b",
        "/prod/db:a label",
        "/a" * 16,
        "x" * 2049,
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf",
        "arn:aws:ssm:eu-west-1:123456789012:parameter//prod/db",
        "arn:aws:ssm:eu-west-1:123456789012:document/prod",
        None,
        b"/prod/db",
    ],
)
def test_a_name_that_no_parameter_has_is_a_clear_error(world: World, name: str) -> None:
    """Parameter Store would speak of the prefix "ssm": the error says what is wrong, and no call is made."""
    cache = world.cache()
    for ask in (cache.get_parameter, lambda one: cache.get_parameters([one])):
        with pytest.raises(InvalidParameterNameError, match="a name that no parameter can have") as caught:
            ask(name)
        assert "ssm" not in caught.value.detail
    assert 0 == world.reads


@pytest.mark.parametrize("path", ["prod", "", "/prod//x", "/a b", None])
def test_a_path_that_cannot_be_listed_is_a_clear_error(world: World, path: str) -> None:
    """No call is made for it."""
    with pytest.raises(InvalidParameterNameError):
        world.cache().get_parameters_by_path(path)
    assert 0 == world.reads


@pytest.mark.parametrize("name", ["flat", NAME, ARN, "/aws/service/global-infrastructure/regions/eu-west-1"])
def test_flat_names_paths_arns_and_public_parameters(world: World, name: str) -> None:
    """All are read by the name that was given."""
    world.put("two", "flat", "String")
    assert name == world.cache().get_parameter(name).secret_id


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db", "prod/db"),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/prod/host", "/prod/host"),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/flat", "flat"),
        ("head", "head"),
    ],
)
def test_a_markers_key_holds_the_name(key: str, name: str) -> None:
    """As the service gave it, but for the slash of a parameter without a path, which no ARN shows."""
    assert name == name_in(key)


def test_the_root_is_a_path(world: World) -> None:
    """`/` has every parameter with a path."""
    assert {NAME} == world.cache().get_parameters_by_path("/", recursive=True).keys()


def test_a_reference_is_the_secrets_own_entry(world: World) -> None:
    """Read under either name it is one copy with one marker: a rotation reaches both, by one read."""
    arn = world.secrets.create("prod/db", "one")
    cache = world.cache()
    world.table.set(arn[:-7], arn, {"AWSCURRENT": "v1"})
    assert "one" == cache.get_parameter(REFERENCE).value == cache.get_secret_string("prod/db")
    assert 1 == world.secrets.calls["GetSecretValue"]
    world.clock.advance(5)
    cache.get_parameter(REFERENCE)
    world.secrets.put("prod/db", "two", "v2")
    world.table.set(arn[:-7], arn, {"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"})
    world.clock.advance(5)
    got = cache.get_parameter(REFERENCE)
    assert ("two", "SecureString", 0, "v2", arn) == (
        got.value,
        got.type,
        got.version,
        got.version_id,
        got.arn,
    )
    assert "two" == cache.get_secret_string("prod/db")
    assert "one" == cache.get_parameter(f"{REFERENCE}:AWSPREVIOUS").value
    assert 0 == world.reads


def test_a_reference_is_decrypted_or_refused(world: World) -> None:
    """A secret is given decrypted only, which is said without a call; a missing one is a secret's error."""
    cache = world.cache()
    with pytest.raises(InvalidParameterNameError, match="decrypt=True"):
        cache.get_parameter(REFERENCE, decrypt=False)
    with pytest.raises(SecretNotFoundError):
        cache.get_parameter(REFERENCE)


def test_a_reference_by_version_id_is_left_to_parameter_store(world: World) -> None:
    """A version by its id never changes: it is a parameter's read, not a read by stage."""
    with pytest.raises(SecretNotFoundError):
        world.cache().get_parameter(f"{REFERENCE}:6b2a8a1e-5f3c-4d2b-9d0e-0123456789ab")
    assert (1, 0) == (world.reads, world.secrets.calls["GetSecretValue"])
