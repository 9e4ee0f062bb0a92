"""Names, ARNs and ids: whatever comes, two secrets never share a key, and errors are the typed ones."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyturn import InvalidSecretIdError, Limits, Peers, SecretCache, SecretError
from keyturn.model.names import Arn, checked_secret_id, is_secret_arn, parameter_key, secret_key
from keyturn.testing.fakes import FakeSecretsManager
from keyturn.testing.parts import parts_of

# What AWS allows in a name (CreateSecret, API reference); hyphens are frequent, as in `name-suffix`.
names = st.text(st.sampled_from("aB9-/_+=.@!"), min_size=1, max_size=24)
suffixes = st.text(st.sampled_from("aB9"), min_size=6, max_size=6)
places = st.tuples(
    st.sampled_from(["aws", "aws-cn", "aws-us-gov"]),
    st.sampled_from(["eu-west-1", "us-east-1"]),
    st.sampled_from(["111122223333", "444455556666"]),
)


@st.composite
def secrets(draw: st.DrawFn) -> tuple[str, str, tuple[object, ...]]:
    """A secret's ARN, its name, and what makes it this secret and no other."""
    place, name, suffix = draw(places), draw(names), draw(suffixes)
    partition, region, account = place
    arn = f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-{suffix}"
    return arn, name, (*place, name)


@given(secrets(), secrets())
def test_different_secrets_have_different_keys(
    one: tuple[str, str, tuple[object, ...]], other: tuple[str, str, tuple[object, ...]]
) -> None:
    """Two keys are equal exactly when account, Region and name are, whatever the suffixes."""
    assert (secret_key(*one[:2]) == secret_key(*other[:2])) == (one[2] == other[2])


@given(places, names, suffixes, suffixes)
def test_a_name_that_ends_like_a_suffix_is_not_cut(
    place: tuple[str, str, str], name: str, inner: str, suffix: str
) -> None:
    """`name-AbCdEf` and `name` are two secrets; each key ends in the whole name."""
    partition, region, account = place
    prefix = f"arn:{partition}:secretsmanager:{region}:{account}:secret:"
    longer = f"{name}-{inner}"
    assert prefix + longer == secret_key(f"{prefix}{longer}-{suffix}", longer)
    assert prefix + name == secret_key(f"{prefix}{name}-{suffix}", name)


@given(st.text(), st.text())
@example("arn:aws:secretsmanager:r:a:secret:x-AbCdEf", "")
def test_a_key_is_the_arn_or_the_arn_cut_after_the_name(arn: str, name: str) -> None:
    """Of any two texts: nothing is guessed, and at most seven characters are cut."""
    key = secret_key(arn, name)
    assert key == arn or (arn.startswith(key) and len(arn) - len(key) == 7 and key.endswith(name))


@given(st.text() | st.lists(st.text(st.sampled_from("a:/-")), min_size=6, max_size=8).map(":".join))
def test_an_arn_is_parsed_whole_or_not_at_all(text: str) -> None:
    """What was parsed is written back as it was; everything else is None."""
    for candidate in (text, f"arn:{text}"):
        arn = Arn.parse(candidate)
        assert arn is None or str(arn) == candidate
        assert not is_secret_arn(candidate) or (arn is not None and arn.service == "secretsmanager")


@given(names.map(lambda name: re.sub("/+", "/", name)))
def test_a_parameters_key_has_one_slash(name: str) -> None:
    """A parameter has the same key with and without its leading slash."""
    arn = Arn("aws", "secretsmanager", "r", "a", "secret:x")
    bare = name.removeprefix("/")
    assert parameter_key(arn, bare) == parameter_key(arn, f"/{bare}") == f"arn:aws:ssm:r:a:parameter/{bare}"


hashable = st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.tuples(st.text())


@given(st.text() | st.text(min_size=2049, max_size=2100) | hashable)
def test_any_id_is_an_id_or_a_typed_error(secret_id: object) -> None:
    """An id comes back as it was given, or an error tells of it in one printable line."""
    said = ""
    try:
        assert checked_secret_id(secret_id) is secret_id
    except InvalidSecretIdError as error:
        said = str(error)
    assert said == "" or said.isprintable()
    assert len(said) < 1000


@given(st.text() | hashable, st.text(min_size=1))
@example("prod/db", "AWSCURRENT")
@example("\ud800", "AWSCURRENT")
def test_any_get_is_a_version_or_a_typed_error(secret_id: str, stage: str) -> None:
    """Through the whole cache: no id and no stage causes anything but a `SecretError`, and none is held."""
    secrets = FakeSecretsManager()
    secrets.create("prod/db", "one")
    cache = SecretCache(peers=Peers(source=secrets))
    for ask in (cache.get, cache.get_secret_string, cache.get_secret_binary):
        with suppress(SecretError):
            ask(secret_id, stage=stage)
    assert cache.invalidate(secret_id) == (secret_id == "prod/db" and stage == "AWSCURRENT")
    assert len(cache.status().secrets) <= 1


def test_many_wrong_ids_are_not_kept() -> None:
    """A thousand ids that no secret has leave at most `max_secrets` of them remembered."""
    cache = SecretCache(limits=Limits(max_secrets=10), peers=Peers(source=FakeSecretsManager()))
    for number in range(1_000):
        with pytest.raises(SecretError):
            cache.get(f"wrong/{number}")
    assert () == cache.status().secrets
    assert len(parts_of(cache).caches[0].copies.failures) <= 10
