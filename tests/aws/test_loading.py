"""What botocore loads for keyturn's clients is what botocore would load, with less work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import botocore
import pytest
from botocore.exceptions import DataNotFoundError, UnknownServiceError
from botocore.loaders import Loader, create_loader

from keyturn.aws.loading import sparing

DATA = Path(botocore.__file__).parent / "data"
OTHERS = ("endpoints", "partitions", "sdk-default-configuration", "_retry")
MODELS = ("service-2", "endpoint-rule-set-1", "paginators-1")


@pytest.mark.parametrize("name", OTHERS)
def test_files_are_the_same(name: str) -> None:
    """The same values in the same order, from the same file."""
    theirs, ours = Loader().load_data_with_path(name), sparing(Loader()).load_data_with_path(name)
    assert theirs == ours
    assert json.dumps(theirs) == json.dumps(ours)


@pytest.mark.parametrize("service", ["secretsmanager", "dynamodb", "ssm", "sts"])
@pytest.mark.parametrize("kind", MODELS)
def test_models_are_the_same(service: str, kind: str) -> None:
    """The model of every service that keyturn calls, with botocore's additions to it."""
    theirs: object = Loader().load_service_model(service, kind)
    ours: object = sparing(Loader()).load_service_model(service, kind)
    assert theirs == ours
    assert json.dumps(theirs) == json.dumps(ours)


@pytest.mark.parametrize(
    ("service", "kind"), [("secretmanager", "service-2"), ("secretsmanager", "waiters-9")]
)
def test_what_is_not_there_is_the_same_error(service: str, kind: str) -> None:
    """An unknown service, or a file that this service does not have: botocore's error, with all names."""
    with pytest.raises(UnknownServiceError) as theirs:
        Loader().load_service_model(service, kind)
    with pytest.raises(UnknownServiceError) as ours:
        sparing(Loader()).load_service_model(service, kind)
    assert str(theirs.value) == str(ours.value)
    with pytest.raises(DataNotFoundError):
        sparing(Loader()).load_data("nowhere")


def test_the_list_of_all_services_is_there() -> None:
    """Whoever asks for all of them gets them."""
    theirs, ours = Loader().list_available_services("service-2"), sparing(Loader())
    assert theirs == list(ours.list_available_services("service-2"))
    assert len(theirs) == len(ours.list_available_services("service-2"))


def test_models_of_the_user_come_first(tmp_path: Path) -> None:
    """A folder that AWS_DATA_PATH names is looked at before botocore's."""
    for service in ("secretsmanager", "mine"):
        folder = tmp_path / service / "2099-01-01"
        folder.mkdir(parents=True)
        folder.joinpath("service-2.json").write_text('{"of": "the user"}', "utf-8")
    loader = sparing(create_loader(str(tmp_path)))
    assert {"of": "the user"} == loader.load_service_model("mine", "service-2")
    assert {"of": "the user"} == loader.load_service_model("secretsmanager", "service-2")
    assert "metadata" in loader.load_service_model("secretsmanager", "service-2", "2017-10-17")


def test_no_object_keeps_its_order_apart() -> None:
    """Plain dicts, which keep their order and are made in a third of the time: the loop stands still less."""
    assert {dict} == kinds(sparing(Loader()).load_data("endpoints"))


def test_other_threads_may_run_between_objects() -> None:
    """While the list of endpoints is parsed, Python runs a thousand times: there the interpreter switches."""
    loader, events = sparing(Loader()), list[str]()
    sys.setprofile(lambda _frame, event, _: events.append(event))
    try:
        loader.load_data("endpoints")
    finally:
        sys.setprofile(None)
    assert 1000 < events.count("call")


def kinds(value: object) -> set[type]:
    """Return the classes of all mappings in a document."""
    if isinstance(value, list):
        return set().union(*map(kinds, value))
    return {type(value)}.union(*map(kinds, value.values())) if isinstance(value, dict) else set()


LISTED = """
import sys, os
folders = []
sys.addaudithook(lambda event, arguments: event == "os.listdir" and folders.append(str(arguments[0])))
from keyturn.aws.clients import ClientFactory
client = ClientFactory().make("secretsmanager", (1, 1), "eu-central-1")
assert client.meta.endpoint_url == "https://secretsmanager.eu-central-1.amazonaws.com"
print(*(one for one in folders if os.sep + "data" in one), sep="\\n")
"""


def test_a_client_looks_at_its_own_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make a client, of all the folders of botocore's data only those of its service are listed."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    command = [sys.executable, "-c", LISTED]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert {str(DATA / "secretsmanager")} == set(listed)
