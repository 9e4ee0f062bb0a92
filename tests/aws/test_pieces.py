"""botocore's list of endpoints is parsed in pieces, and to the same."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import botocore
import botocore.loaders
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.aws.clients import ClientFactory
from keyturn.aws.pieces import ALONE, InPieces, in_pieces

ENDPOINTS = Path(botocore.__file__).parent / "data" / "endpoints"
TEXT = ENDPOINTS.with_suffix(".json").read_text("utf-8")

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def test_the_list_of_endpoints_is_the_same() -> None:
    """What botocore has: the same values, in the same order."""
    found = in_pieces(TEXT)
    whole = json.loads(TEXT, object_pairs_hook=OrderedDict)
    assert whole == found
    assert json.dumps(whole) == json.dumps(found)


@given(value=VALUES, indent=st.sampled_from([None, 2]))
def test_any_document_is_the_same(value: object, indent: int | None) -> None:
    """Whatever the depth, with and without spaces."""
    assert value == in_pieces(json.dumps(value, indent=indent))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1",
        "[1}",
        '{"a" 1}',
        '{"a": }',
        '{"a": 1,}',
        '{"a"',
        "[1 2]",
        "{}{}",
        "nothing",
        '{1: "a"}',
        '{"a":\u00a01}',
    ],
)
def test_what_is_no_document(text: str) -> None:
    """None, for botocore to say what is wrong."""
    assert in_pieces(text) is None


def test_no_piece_is_large() -> None:
    """The reason for it all: none of what is parsed at one go has more than a fiftieth of the text."""
    parsed, decoder = list[int](), json.JSONDecoder()

    def parse(text: str, at: int) -> tuple[object, int]:
        found, end = decoder.raw_decode(text, at)
        parsed.append(end - at)
        return found, end

    assert json.loads(TEXT) == in_pieces(TEXT, parse)
    assert max(parsed) < len(TEXT) / 50
    assert 100 < len(parsed)


@pytest.fixture
def loads(tmp_path: Path) -> Callable[[str, int], object]:
    """Loads a text as the list of endpoints, in a process with so many threads."""

    def load(text: str, threads: int) -> object:
        (tmp_path / "endpoints.json").write_text(text, "utf-8")
        loader = InPieces(botocore.loaders.JSONFileLoader(), lambda: threads)
        assert loader.exists(str(tmp_path / "endpoints"))
        return loader.load_file(str(tmp_path / "endpoints"))

    return load


@pytest.mark.parametrize("threads", [1, ALONE, ALONE + 1])
def test_both_ways_give_the_same(loads: Callable[[str, int], object], threads: int) -> None:
    """Alone, by botocore; beside other threads, in pieces."""
    assert {"partitions": [{"services": {}}]} == loads('{"partitions": [{"services": {}}]}', threads)


def test_a_broken_list_is_botocores_matter(loads: Callable[[str, int], object]) -> None:
    """Its own error is raised, as without keyturn."""
    with pytest.raises(json.JSONDecodeError):
        loads('{"partitions": [', ALONE + 1)


def test_other_files_are_botocores() -> None:
    """Models, and what is not there."""
    loader = InPieces(botocore.loaders.JSONFileLoader(), lambda: ALONE + 1)
    folder = str(ENDPOINTS.parent)
    assert "ListSecrets" in str(loader.load_file(f"{folder}/secretsmanager/2017-10-17/service-2"))[:40_000]
    assert loader.load_file(f"{folder}/nowhere/endpoints") is None
    assert not loader.exists(f"{folder}/nowhere/endpoints")


def test_a_client_is_made_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside other threads the factory's session parses in pieces: its client has its Region's endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobodys")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    is_over = threading.Event()
    others = [threading.Thread(target=is_over.wait) for _ in range(ALONE)]
    for one in others:
        one.start()
    try:
        client = ClientFactory().make("secretsmanager", (1, 1), "eu-central-1")
    finally:
        is_over.set()
        for one in others:
            one.join()
    assert "https://secretsmanager.eu-central-1.amazonaws.com" == client.meta.endpoint_url  # type: ignore[attr-defined] # a client
