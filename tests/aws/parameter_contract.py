"""What every `ParameterSource` keeps, whatever it reads through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from keyturn.aws.catalog import ParameterListing
from keyturn.aws.parameterstore import ParameterStoreSource
from keyturn.errors import (
    InvalidParameterNameError,
    ParameterNotFoundError,
    ParameterVersionNotFoundError,
)
from keyturn.model.parameter import Parameter
from keyturn.model.protocols import Listing, ParameterSource
from keyturn.model.versions import SecretVersion
from keyturn.testing.fakes import FakeParameterStore

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.literals import ParameterTypeType

CANARY = "canary-7Kq2"


class Rig(Protocol):
    """The other side: keeps parameters."""

    def put(self, name: str, value: str, type: ParameterTypeType = "String") -> None:  # noqa: A002
        """Store the first version, or the next one."""
        ...

    def label(self, name: str, label: str, version: int) -> None: ...

    def delete(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class FakeRig:
    """A `FakeParameterStore`."""

    store: FakeParameterStore

    def put(self, name: str, value: str, type: ParameterTypeType = "String") -> None:  # noqa: A002
        self.store.put(name, value, type=type)

    def label(self, name: str, label: str, version: int) -> None:
        self.store.label(name, label, version)

    def delete(self, name: str) -> None:
        self.store.delete(name)


@dataclass(frozen=True, slots=True)
class ClientRig:
    """A Parameter Store behind a boto3 client."""

    client: SSMClient

    def put(self, name: str, value: str, type: ParameterTypeType = "String") -> None:  # noqa: A002
        self.client.put_parameter(Name=name, Value=value, Type=type, Overwrite=True)

    def label(self, name: str, label: str, version: int) -> None:
        self.client.label_parameter_version(Name=name, ParameterVersion=version, Labels=[label])

    def delete(self, name: str) -> None:
        self.client.delete_parameter(Name=name)


@dataclass(frozen=True, slots=True)
class Scene:
    """The sources of one store, what lists it, and the store.

    `knows_labels`: a label that no version has is `ParameterVersionNotFound`, as in AWS.
    `lists_arns`: DescribeParameters gives the ARN, as in AWS, without which nothing is listed.
    """

    sources: Callable[[bool], ParameterSource]
    listing: Listing
    rig: Rig
    knows_labels: bool = True
    lists_arns: bool = True

    def source(self, *, decrypt: bool = True) -> ParameterSource:
        return self.sources(decrypt)

    def read(self, name: str, stage: str = "AWSCURRENT", *, decrypt: bool = True) -> Parameter:
        return parameter(self.source(decrypt=decrypt).read(name, stage=stage))


def client_scene(client: SSMClient, *, knows_labels: bool, lists_arns: bool) -> Scene:
    """The sources and the listing of a client."""
    return Scene(
        lambda decrypt: ParameterStoreSource(lambda: client, decrypt=decrypt),
        ParameterListing(client, ["/prod"]),
        ClientRig(client),
        knows_labels,
        lists_arns,
    )


def parameter(version: SecretVersion) -> Parameter:
    """What a source has read, which must be a parameter."""
    assert isinstance(version, Parameter)
    return version


class ParameterSourceContract:
    """Every implementation inherits these tests and brings its own `scene`."""

    def test_a_version_with_all_that_the_answer_tells(self, scene: Scene) -> None:
        """Value, ARN with one slash, name, number, type and date, under the name that was asked."""
        scene.rig.put("/prod/host", "one")
        found = scene.read("/prod/host")
        assert ("/prod/host", "/prod/host", "one") == (found.secret_id, found.name, found.value)
        assert (1, "1", "String", "text") == (found.version, found.version_id, found.type, found.data_type)
        assert frozenset({"AWSCURRENT"}) == found.stages
        assert found.arn.endswith(":parameter/prod/host")
        assert found.created_s is not None

    def test_by_arn(self, scene: Scene) -> None:
        """An ARN names the parameter; the answer stands under the ARN that was asked."""
        for name in ("/prod/host", "flat"):
            scene.rig.put(name, "old")
            scene.rig.put(name, "new")
            arn = scene.read(name).arn
            assert arn.endswith(f":parameter/{name.removeprefix('/')}")
            found = scene.read(arn)
            assert (arn, arn, name, "new") == (found.secret_id, found.arn, found.name, found.value)
            assert "old" == scene.read(arn, "1").value

    def test_a_string_list(self, scene: Scene) -> None:
        """One text with its commas, and the items of it."""
        scene.rig.put("/prod/hosts", "a,b", "StringList")
        found = scene.read("/prod/hosts")
        assert ("StringList", "a,b", ("a", "b")) == (found.type, found.value, found.values)

    def test_a_secure_string_decrypted_or_not(self, scene: Scene) -> None:
        """Each source gives what it was made for, by every way of reading, and no repr shows either."""
        scene.rig.put("/prod/password", CANARY, "SecureString")
        for decrypt in (True, False):
            source = scene.source(decrypt=decrypt)
            found = [
                source.read("/prod/password", stage="AWSCURRENT"),
                source.read_many(["/prod/password"])["/prod/password"],
                *source.read_path("/prod", recursive=False),
            ]
            assert [decrypt] * 3 == [one.text() == CANARY for one in found]
            assert ["SecureString"] * 3 == [parameter(one).type for one in found]
            assert CANARY not in repr(found)

    def test_what_is_no_secret_is_the_same_undecrypted(self, scene: Scene) -> None:
        """Only a SecureString has a ciphertext."""
        scene.rig.put("/prod/host", "one")
        assert "one" == scene.read("/prod/host", decrypt=False).value

    def test_versions_are_numbered_and_stay(self, scene: Scene) -> None:
        """The latest is read without a number; each stays readable by its own."""
        for value in ("one", "two", "three"):
            scene.rig.put("/prod/host", value)
        assert (3, "three") == (scene.read("/prod/host").version, scene.read("/prod/host").value)
        second = scene.read("/prod/host", "2")
        assert (2, "two", frozenset({"2"})) == (second.version, second.value, second.stages)

    def test_a_label_moves(self, scene: Scene) -> None:
        """A label names one version, and another one once it was moved."""
        scene.rig.put("/prod/host", "one")
        scene.rig.put("/prod/host", "two")
        scene.rig.label("/prod/host", "good", 1)
        good = scene.read("/prod/host", "good")
        assert (1, "one", frozenset({"good"})) == (good.version, good.value, good.stages)
        scene.rig.label("/prod/host", "good", 2)
        assert "two" == scene.read("/prod/host", "good").value

    @pytest.mark.parametrize("stage", ["2", "good"])
    def test_a_version_or_label_that_is_not_there(self, scene: Scene, stage: str) -> None:
        """`ParameterVersionNotFoundError`, not "no such parameter"."""
        scene.rig.put("/prod/host", "one")
        is_told = scene.knows_labels or stage.isdecimal()
        with pytest.raises(
            ParameterVersionNotFoundError if is_told else ParameterNotFoundError, match="/prod/host"
        ):
            scene.read("/prod/host", stage)

    def test_a_version_that_is_not_to_be_seen_yet(self, scene: Scene) -> None:
        """With a number: that version or a later one, else `ParameterVersionNotFoundError`."""
        scene.rig.put("/prod/host", "one")
        source = scene.source()
        with pytest.raises(ParameterVersionNotFoundError, match="2"):
            source.read("/prod/host", stage="AWSCURRENT", version_id="2")
        for value in ("two", "three"):
            scene.rig.put("/prod/host", value)
        assert "three" == source.read("/prod/host", stage="AWSCURRENT", version_id="2").text()

    @pytest.mark.parametrize("stage", ["AWSCURRENT", "1"])
    def test_a_parameter_that_is_not_there(self, scene: Scene, stage: str) -> None:
        """`ParameterNotFoundError` with the name, before there was one and after it was deleted."""
        with pytest.raises(ParameterNotFoundError, match="/prod/host"):
            scene.read("/prod/host", stage)
        scene.rig.put("/prod/host", "one")
        scene.rig.delete("/prod/host")
        with pytest.raises(ParameterNotFoundError, match="/prod/host"):
            scene.read("/prod/host", stage)

    def test_one_that_was_made_again(self, scene: Scene) -> None:
        """It begins at version 1, without the labels of the one before."""
        scene.rig.put("/prod/host", "one")
        scene.rig.put("/prod/host", "two")
        scene.rig.label("/prod/host", "good", 1)
        scene.rig.delete("/prod/host")
        scene.rig.put("/prod/host", "again")
        assert (1, "again") == (scene.read("/prod/host").version, scene.read("/prod/host").value)
        with pytest.raises((ParameterVersionNotFoundError, ParameterNotFoundError)):
            scene.read("/prod/host", "good")

    @pytest.mark.parametrize("name", ["/prod//host", "/prod/host/", "prod/host", "/prod/höst", "/prod/host?"])
    def test_a_name_that_no_parameter_can_have(self, scene: Scene, name: str) -> None:
        """A typed error with the name. AWS says ValidationException; moto and ministack, not found."""
        scene.rig.put("/prod/host", "one")
        with pytest.raises((InvalidParameterNameError, ParameterNotFoundError)) as caught:
            scene.read(name)
        assert name in str(caught.value)

    def test_no_name_at_all(self, scene: Scene) -> None:
        """An empty name is refused before anybody is asked."""
        with pytest.raises(InvalidParameterNameError):
            scene.read("")

    def test_many_with_unknown_ones_among_them(self, scene: Scene) -> None:
        """Each latest version by the name or ARN that was asked; unknown and wrong names are left out."""
        scene.rig.put("/prod/host", "old")
        scene.rig.put("/prod/host", "new")
        scene.rig.put("flat", "f")
        scene.rig.put("/prod/hosts", "a,b", "StringList")
        arn = scene.read("/prod/hosts").arn
        found = scene.source().read_many(["/nowhere", "/prod/host", "/prod//host", "flat", arn])
        assert {"/prod/host": "new", "flat": "f", arn: "a,b"} == {
            name: one.text() for name, one in found.items()
        }
        assert {"AWSCURRENT"} == {stage for one in found.values() for stage in one.stages}
        assert {} == scene.source().read_many(["/nowhere"])

    def test_a_path(self, scene: Scene) -> None:
        """What is right under it; `recursive`: further down too; never itself or a longer name."""
        for name in ("/prod/db", "/prod/db/host", "/prod/db/user/name", "/prod/dbs/host", "/other"):
            scene.rig.put(name, "old")
            scene.rig.put(name, f"of {name}")
        source = scene.source()
        assert {"/prod/db/host": "of /prod/db/host"} == {
            one.name: one.text() for one in source.read_path("/prod/db", recursive=False)
        }
        assert {"/prod/db/host", "/prod/db/user/name"} == {
            one.name for one in source.read_path("/prod/db", recursive=True)
        }
        assert [] == list(source.read_path("/prod/db/host", recursive=True))
        assert [] == list(source.read_path("/nowhere", recursive=True))

    @pytest.mark.parametrize("number", [10, 11, 23])
    def test_a_path_of_pages(self, scene: Scene, number: int) -> None:
        """All pages, each parameter once, whether the last page is full or not."""
        names = [f"/prod/{index:02}/value" for index in range(number)]
        for name in names:
            scene.rig.put(name, "one")
        found = [one.name for one in scene.source().read_path("/prod", recursive=True)]
        assert names == sorted(found)

    def test_the_list(self, scene: Scene) -> None:
        """Each with its ARN and the number of its latest version, and no value."""
        scene.rig.put("/prod/host", "one")
        scene.rig.put("/prod/password", CANARY, "SecureString")
        scene.rig.put("/prod/password", CANARY, "SecureString")
        listed = list(scene.listing.list())
        expected = {"/prod/host": {"AWSCURRENT": "1"}, "/prod/password": {"AWSCURRENT": "2"}}
        assert (expected if scene.lists_arns else {}) == {one.name: dict(one.stages) for one in listed}
        assert {scene.read(one.name).arn for one in listed} == {one.arn for one in listed}
        assert CANARY not in repr(listed)
