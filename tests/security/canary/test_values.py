"""No object of keyturn's shows a value to anyone who did not ask. Each line of `PLACES` is a way to look."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import pprint
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, fields, replace
from itertools import islice
from pathlib import Path
from typing import Annotated

import pydantic_core
import pytest
from pydantic import SecretStr, TypeAdapter
from rich.console import Console
from rich.pretty import pretty_repr

from keyturn import (
    KeyturnSettings,
    Limits,
    Parameter,
    Peers,
    SecretCache,
    SecretVersion,
    UnavailableError,
)
from keyturn.compat.source import DescribedVersion, Kept
from keyturn.convergence.table import item_of as report_item
from keyturn.integrations.emf import EmfMetrics
from keyturn.integrations.login import Login
from keyturn.live import FromSecret, LiveSettings
from keyturn.markers.schema import item_of as marker_item
from keyturn.model.markers import Marker
from keyturn.testing.fakes import (
    FakeClock,
    FakeMarkers,
    FakeParameterStore,
    FakeReports,
    FakeSecretsManager,
    RecordedMetrics,
)
from tests.security.canary.watched import BYTES, CANARY, assert_unseen

NAME = "prod/db"
FIELDS = json.dumps({"username": "app", "password": CANARY, "others": [CANARY]})


class World:
    """Secrets and a parameter, a cache that has met rotations and failures, and its tables."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.secrets = FakeSecretsManager(self.clock)
        self.parameters = FakeParameterStore(self.clock)
        self.table, self.reports = FakeMarkers(self.clock), FakeReports(self.clock)
        self.metrics = RecordedMetrics()
        self.arn = self.secrets.create(NAME, FIELDS)
        self.secrets.create("blob", BYTES)
        self.parameters.put("/prod/key", CANARY, type="SecureString")
        self.cache = SecretCache(
            metrics=self.metrics,
            limits=Limits(refresh_wait_s=20),
            peers=Peers(
                source=self.secrets,
                parameter_source=self.parameters.source,
                markers=self.table,
                reports=self.reports,
                clock=self.clock,
                sleep=self.clock.advance,
                random=lambda: 0.0,
            ),
        )
        self.live()

    def live(self) -> None:
        """A rotation, a login in its middle, an outage, and the end of that."""
        self.mark()
        for _ in range(3):
            self.read()
            self.clock.advance(6)
        self.secrets.put(NAME, FIELDS + " ", "v2", "AWSPENDING")
        self.cache.login(NAME, lambda version: version.text(), is_refused=lambda _: True)
        self.secrets.move(NAME, "AWSCURRENT", "v2")
        self.mark()
        self.clock.advance(6)
        self.read()
        self.secrets.fail = UnavailableError
        self.clock.advance(4000)
        self.read()
        self.secrets.fail = lambda _: None
        self.clock.advance(400)
        self.read()

    def mark(self) -> None:
        """Write the marker, as the listener would."""
        self.table.set(self.arn.rpartition("-")[0], self.arn, self.secrets.describe(NAME).stages)
        self.table.sweep()

    def read(self) -> None:
        """What a process reads."""
        self.cache.get(NAME)
        self.cache.get("blob")
        self.cache.get_parameter("/prod/key")

    @property
    def version(self) -> SecretVersion:
        return self.cache.get(NAME)

    @property
    def blob(self) -> SecretVersion:
        return self.cache.get("blob")

    @property
    def parameter(self) -> Parameter:
        return self.cache.get_parameter("/prod/key")


class Settings(LiveSettings):
    """An application's settings, with a field of each kind that holds a value."""

    password: Annotated[str, FromSecret(NAME, key="password")]
    hidden: Annotated[SecretStr, FromSecret(NAME, key="password")]
    maybe: Annotated[str | None, FromSecret(NAME, key="password")]
    others: Annotated[list[str], FromSecret(NAME, key="others")]
    whole: Annotated[dict[str, object], FromSecret(NAME)]
    blob: Annotated[bytes, FromSecret("blob")]
    pool_size: int = 5


def settings(world: World) -> Settings:
    """The live settings."""
    return Settings.live(world.cache)


def snapshot(world: World) -> Settings:
    """The ordinary model that `snapshot` returns, which holds the values."""
    return settings(world).snapshot()


def rich_of(value: object) -> str:
    """What Rich prints, in both its ways."""
    console = Console(file=io.StringIO(), width=400, record=True)
    console.print(value)
    return console.export_text() + pretty_repr(value, expand_all=True)


def warned(world: World) -> str:
    """The warnings of a life, and of what is dropped."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        world.live()
        Settings.live(world.cache).snapshot()
        warnings.warn(f"the witness after {len(seen)}", stacklevel=1)
    return "\n".join(f"{one.message!r} {one}" for one in seen)


def emf(world: World) -> str:
    """The lines of the metrics."""
    lines: list[str] = []
    metrics = EmfMetrics(service="orders", by_secret=True, clock=world.clock, output=lines.append)
    for one in world.metrics.told:
        metrics.record(*one[:2], secret=one.secret, stage=one.stage)
    metrics.flush()
    return "\n".join(lines)


def pickled(version: SecretVersion) -> SecretVersion:
    """The version as another process gets it."""
    again = pickle.loads(pickle.dumps(version))  # noqa: S301 # our own
    assert isinstance(again, SecretVersion)
    return again


def refused_pickle(value: object) -> str:
    """A pickle, or why there is none."""
    try:
        return pickle.dumps(value).decode("latin-1")
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        return f"refused: {error!r}"


def of_each(show: Callable[[SecretVersion], object]) -> Callable[[World], str]:
    """What a way of looking shows of each kind of version."""
    return lambda world: "\n".join(str(show(one)) for one in (world.version, world.blob, world.parameter))


def serialized(version: SecretVersion) -> str:
    """What pydantic makes of a version that is part of an application's model or answer."""
    adapter = TypeAdapter(object)
    return repr(
        (
            pydantic_core.to_json(version, serialize_unknown=True),
            pydantic_core.to_jsonable_python(version, serialize_unknown=True),
            adapter.dump_python(version),
            adapter.dump_json(version, serialize_as_any=True, fallback=str),
        )
    )


def looked_into(value: object) -> object:
    """What a tool sees that knows no class, and looks into the attributes and slots of an object.

    So do Datadog's exception replay, DeepDiff, and `jsonpickle.encode(..., unpicklable=False)`.
    """
    if isinstance(value, list | tuple | set | frozenset):
        return [looked_into(one) for one in value]
    slots = [name for kind in type(value).__mro__ for name in kind.__dict__.get("__slots__", ())]
    fields = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(
        value, "__dict__", {}
    )
    return {name: looked_into(one) for name, one in fields.items()} if fields else repr(value)


PLACES: Mapping[str, tuple[str, Callable[[World], str | bytes]]] = {
    "repr of a version": (NAME, of_each(repr)),
    "str of a version": (NAME, of_each(str)),
    "a version in a format": (NAME, of_each(lambda version: f"{version} {version!s:>100} {[version]}")),
    "asdict of a version": ("arn:aws", of_each(lambda version: repr(asdict(version)))),
    "astuple of a version": ("arn:aws", of_each(lambda version: repr(astuple(version)))),
    "the dataclass fields of a version": (
        NAME,
        of_each(lambda version: [(one.name, getattr(version, one.name)) for one in fields(version)]),
    ),
    "json of asdict of a version": ("arn:aws", of_each(lambda one: json.dumps(asdict(one), default=str))),
    "a version in JSON": (NAME, of_each(lambda version: json.dumps([version], default=str))),
    "a version through pydantic": ("arn:aws", of_each(serialized)),
    "pprint of a version": (NAME, of_each(pprint.pformat)),
    "Rich's print of a version": (NAME, of_each(rich_of)),
    "a version, field by field": (NAME, of_each(looked_into)),
    "a copy of a version": (NAME, of_each(copy.copy)),
    "a deep copy of a version": (NAME, of_each(copy.deepcopy)),
    "a version with another field": (NAME, of_each(lambda version: replace(version, created_s=1.0))),
    "a version out of a pickle": (NAME, of_each(pickled)),
    "the set of versions": (NAME, lambda world: repr({world.version, world.parameter})),
    "repr of the cache": ("SecretCache", lambda world: f"{world.cache!r} {vars(world.cache)!r}"),
    "repr of a login": (NAME, lambda world: repr(Login(world.cache, NAME))),
    "an attempt to log in": (
        "Attempt",
        lambda world: str([(one, vars(one)) for one in islice(world.cache.login_attempts(NAME), 1)]),
    ),
    "repr of status()": (NAME, lambda world: repr(world.cache.status())),
    "asdict of status()": (NAME, lambda world: repr(asdict(world.cache.status()))),
    "status() in JSON": (NAME, lambda world: json.dumps(asdict(world.cache.status()))),
    "a pickled status()": (NAME, lambda world: pickle.dumps(world.cache.status())),
    "Rich's print of status()": (NAME, lambda world: rich_of(world.cache.status())),
    "the measurements": (NAME, lambda world: repr(world.metrics.told)),
    "the metrics in CloudWatch's format": (NAME, emf),
    "the reports to the convergence table": (
        NAME,
        lambda world: json.dumps([report_item(one) for one in world.reports.items.values()]),
    ),
    "the markers": (
        NAME,
        lambda world: json.dumps(
            [marker_item(_marker(one), epoch="e", sequence=1) for one in world.table.items.values()]
        ),
    ),
    "warnings": ("the witness", warned),
    "repr of the cache's settings": ("keyturn-markers", lambda _: repr(_of_the_cache())),
    "a dump of the cache's settings": (
        "keyturn-markers",
        lambda _: repr(_of_the_cache().model_dump()) + _of_the_cache().model_dump_json(),
    ),
    "the pickled settings of the cache": ("keyturn-markers", lambda _: pickle.dumps(_of_the_cache())),
    "repr of live settings": ("pool_size", lambda world: f"{settings(world)!r} {settings(world)}"),
    "a dump of live settings": (
        "pool_size",
        lambda world: repr(settings(world).model_dump()) + settings(world).model_dump_json(),
    ),
    "pickled live settings": ("refused", lambda world: refused_pickle(settings(world))),
    "the attributes of live settings": ("pool_size", lambda world: repr(vars(settings(world)))),
    "repr of a snapshot": ("pool_size", lambda world: f"{snapshot(world)!r} {snapshot(world)}"),
    "a dump of a snapshot": ("pool_size", lambda world: repr(snapshot(world).model_dump())),
    "a dump of a snapshot in JSON's types": (
        "pool_size",
        lambda world: repr(snapshot(world).model_dump(mode="json")),
    ),
    "a snapshot in JSON": ("pool_size", lambda world: snapshot(world).model_dump_json()),
    "a snapshot inside of another model": (
        "pool_size",
        lambda world: TypeAdapter(list[Settings]).dump_json([snapshot(world)]),
    ),
    "a pickled snapshot": ("refused", lambda world: refused_pickle(snapshot(world))),
    "a copied snapshot": ("pool_size", lambda world: repr(copy.deepcopy(snapshot(world)))),
    "Rich's print of a snapshot": ("pool_size", lambda world: rich_of(snapshot(world))),
}


def _marker(marker: object) -> Marker:
    assert isinstance(marker, Marker)
    return marker


def _of_the_cache() -> KeyturnSettings:
    return KeyturnSettings(marker_table="keyturn-markers")


@pytest.mark.parametrize("place", PLACES)
def test_nothing_shows_a_value(place: str) -> None:
    """A process that has rotated, logged in, and failed: something is shown of it, and no value."""
    witness, show = PLACES[place]
    assert_unseen(show(World()), witness)


def test_who_asks_for_the_value_gets_it() -> None:
    """Concealed is not lost: copies, pickles and replaced fields still have it, and so does a round trip."""
    world = World()
    version, parameter = world.version, world.parameter
    for one in (copy.deepcopy(version), pickled(version), replace(version, secret_id="x")):
        assert version.text() == one.text()
    for other in (pickled(parameter), replace(parameter, secret_id="x")):
        assert CANARY == other.text()
    assert "SecureString" == replace(parameter, secret_id="x").type
    assert CANARY == snapshot(world).model_dump(round_trip=True)["password"]
    assert CANARY == snapshot(world).model_dump()["password"].get_secret_value()
    assert version != replace(version, concealed=world.blob.concealed)
    assert {version} == {version, copy.deepcopy(version)}


SERVE = """
import resource
from pathlib import Path
from click.testing import CliRunner
from keyturn.cli.root import root

Path("/proc/self/coredump_filter").write_text("0x33")
print(CliRunner().invoke(root, ["serve"], env={"AWS_TOKEN": "", "AWS_SESSION_TOKEN": ""}).exit_code)
print(int(Path("/proc/self/coredump_filter").read_text(), 16), resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such filter")
def test_no_core_dump_has_a_value() -> None:
    """`keyturn serve` forbids its core dumps, and leaves them no memory, before it reads anything."""
    ran = subprocess.run([sys.executable, "-c", SERVE], capture_output=True, text=True, check=True)
    assert ["2", "0 (0, 0)"] == ran.stdout.splitlines()


COMPARED = """
from keyturn import SecretVersion
from keyturn.model.parameter import Parameter
from tests.security.canary.watched import CANARY

def version(kind, end):
    return kind("prod/db", "arn", "prod/db", "v1", frozenset(), string=CANARY + end)

def test_versions():
    one, other = version(SecretVersion, "1"), version(SecretVersion, "2")
    assert one == other

def test_lists():
    one, other = [version(Parameter, "1")], [version(Parameter, "2")]
    assert one == other

def test_dicts():
    one, other = {"a": version(SecretVersion, "1")}, {"a": version(SecretVersion, "2")}
    assert one == other
"""


def test_pytests_diff_of_two_versions(tmp_path: Path) -> None:
    """`assert one == other` at pytest's greatest length, with the locals of the test."""
    test = tmp_path / "test_compared.py"
    test.write_text(COMPARED)
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-vvv", "-l", "-p", "no:cacheprovider", str(test)]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert_unseen(ran.stdout + ran.stderr, "3 failed")
    assert "concealed" in ran.stdout


def test_what_a_hook_of_compat_keeps_is_not_looked_into() -> None:
    """A hook may keep the answer as it is; the version that holds it shows nothing of it."""
    version = DescribedVersion("a", "arn", "a", "v1", frozenset(), kept=Kept({"SecretString": CANARY}))
    assert {"SecretString": CANARY} == version.stored
    assert {"SecretString": CANARY} == replace(version, secret_id="b").stored
    shown = (
        repr(version),
        repr(asdict(version)),
        repr(copy.deepcopy(version)),
        repr(looked_into(version)),
    )
    assert [one for one in shown if CANARY in one] == []
