"""A marker table that a parameter names: `ssm:/keyturn/marker-table`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from keyturn import ConfigurationError, Limits, Peers, SecretCache
from keyturn.errors import MarkerTableError
from keyturn.markers.named import NamedReader, NamedTable, named_table
from keyturn.model.markers import Head
from keyturn.model.names import Place
from keyturn.model.protocols import MarkerReader
from keyturn.model.table_names import by_place
from keyturn.testing.fakes import FakeClock, FakeMarkers, FakeSecretsManager

GIVEN = "ssm:/keyturn/marker-table"
CENTRAL = "ssm:arn:aws:ssm:eu-west-1:444455556666:parameter/keyturn/marker-table"
CENTRAL_TABLE = "arn:aws:dynamodb:eu-west-1:444455556666:table/markers"
OTHER_TABLE = "arn:aws:dynamodb:eu-west-1:777788889999:table/markers"


class Store:
    """Parameter Store with one parameter, whose reads are counted, can fail and can hang."""

    def __init__(self, text: str = "markers", kind: str = "String") -> None:
        self.text, self.kind = text, kind
        self.asked: list[str] = []
        self.fault = ""
        self.answers = threading.Event()
        self.answers.set()

    def get_parameter(self, **request: object) -> Mapping[str, object]:
        self.asked.append(str(request["Name"]))
        assert request["WithDecryption"] is False
        self.answers.wait(60)
        if self.fault:
            raise failed(self.fault, "GetParameter")
        parameter = {"Name": request["Name"], "Value": self.text, "Type": self.kind, "Version": 1}
        return {"Parameter": parameter | {"LastModifiedDate": datetime.now(UTC)}}

    def get_parameters(self, **request: object) -> Mapping[str, object]:
        raise NotImplementedError(request)

    def get_parameters_by_path(self, **request: object) -> Mapping[str, object]:
        raise NotImplementedError(request)


def failed(code: str, operation: str) -> ClientError:
    """The error of botocore for this code."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


@pytest.mark.parametrize(
    ("given", "text", "found"),
    [
        ("markers", "", "markers"),
        (GIVEN, "markers", "markers"),
        (GIVEN, f"{CENTRAL_TABLE}\n", CENTRAL_TABLE),
        (CENTRAL, "markers", CENTRAL_TABLE),
        (CENTRAL, CENTRAL_TABLE, CENTRAL_TABLE),
    ],
)
def test_a_parameters_table_is_in_the_place_of_the_parameter(given: str, text: str, found: str) -> None:
    """By the name that the stack writes, or by an ARN; a table's own name asks for no parameter."""
    store = Store(text)
    assert found == named_table(given, lambda: store)
    assert ([given.removeprefix("ssm:")] if given.startswith("ssm:") else []) == store.asked


@pytest.mark.parametrize(
    ("given", "text", "kind", "said"),
    [
        (CENTRAL, OTHER_TABLE, "String", "names a table of another account or Region"),
        (GIVEN, "what is this?", "String", "neither the name nor the ARN of a table"),
        (GIVEN, "arn:aws:s3:::markers", "String", "neither the name nor the ARN of a table"),
        (GIVEN, "AQICAH-canary", "SecureString", "the parameter is a SecureString"),
    ],
)
def test_a_parameter_that_names_no_table_is_said_without_its_text(
    given: str, text: str, kind: str, said: str
) -> None:
    """A writer in one account is not believed about another, and no text of a parameter is shown."""
    with pytest.raises(MarkerTableError, match=said) as raised:
        named_table(given, lambda: Store(text, kind))
    assert given in str(raised.value)
    assert text not in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "denied", "said"),
    [
        ("AccessDeniedException", True, "ssm:GetParameter"),
        ("ParameterNotFound", False, "check the name"),
        ("ThrottlingException", False, "its name was not read"),
    ],
)
def test_a_parameter_that_is_not_read_is_trouble_of_the_table(fault: str, *, denied: bool, said: str) -> None:
    """The error names the table as it was given, and says what to do."""
    store = Store()
    store.fault = fault
    with pytest.raises(MarkerTableError, match=said) as raised:
        named_table(GIVEN, lambda: store)
    assert (GIVEN, denied) == (raised.value.table, raised.value.denied)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (["ssm:"], "'ssm:' is not ssm: and a parameter"),
        (["ssm:keyturn/table"], "is not ssm: and a parameter"),
        (["ssm:arn:aws:dynamodb:eu-west-1:444455556666:table/markers"], "is not ssm: and a parameter"),
        (["ssm:/keyturn/marker-table:3"], "asks for one version"),
        ([CENTRAL_TABLE, GIVEN], "only the first may be a name"),
        ([CENTRAL, CENTRAL_TABLE], "are of the same account and Region"),
    ],
)
def test_what_names_no_table_is_refused_at_once(tables: list[str], said: str) -> None:
    """By the constructor, before any request."""
    with pytest.raises(ConfigurationError) as raised:
        SecretCache(marker_table=tables)
    assert said in str(raised.value)


def test_a_parameters_arn_says_what_its_table_covers() -> None:
    """The first of several may be a parameter's name, and covers the rest; a single one covers everything."""
    assert {None: GIVEN} == by_place([(GIVEN, GIVEN)])
    central = Place("aws", "eu-west-1", "444455556666")
    assert {None: GIVEN, central: CENTRAL} == by_place([(GIVEN, GIVEN), (CENTRAL, CENTRAL)])


class Gone(FakeMarkers):
    """A marker table that can be deleted: its client says so."""

    is_gone = False

    def read_head(self, *, consistent: bool = False, copy: int = 0) -> Head | None:
        if self.is_gone:
            raise MarkerTableError("markers", "gone") from failed("ResourceNotFoundException", "GetItem")
        return super().read_head(consistent=consistent, copy=copy)


def test_the_parameter_is_read_once_and_anew_after_the_table_is_gone() -> None:
    """So a stack that was made anew is followed without a restart. Other trouble asks for nothing."""
    store, old, new = Store("old"), Gone(), FakeMarkers()
    tables: Mapping[str, MarkerReader] = {"old": old, "new": new}
    reader = NamedReader(NamedTable(GIVEN, lambda: store, tables.__getitem__))
    for _ in range(3):
        reader.read_head()
        reader.read_markers(["a"])
    old.fail = lambda: MarkerTableError("old", "throttled")
    with pytest.raises(MarkerTableError, match="throttled"):
        reader.read_head()
    assert 1 == len(store.asked)
    old.is_gone, store.text = True, "new"
    with pytest.raises(MarkerTableError, match="gone"):
        reader.read_head()
    reader.read_head()
    assert (2, 1) == (len(store.asked), new.calls["head"])


class Table:
    """A DynamoDB client whose table has a swept head and no marker; it notes what it was asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def get_item(self, **request: object) -> Mapping[str, object]:
        self.names.append(str(request["TableName"]))
        return {"ResponseMetadata": {"HTTPHeaders": {}}}

    batch_get_item = scan = put_item = update_item = transact_write_items = get_item


class Process:
    """A cache whose table a parameter names, with a secret at v1."""

    def __init__(self, tables: str | list[str] = GIVEN, *, wait_s: float = 20.0) -> None:
        self.clock, self.store, self.table = FakeClock(), Store(), Table()
        secrets = FakeSecretsManager(self.clock)
        secrets.create("prod/db", "one", "v1")
        self.cache = SecretCache(
            marker_table=tables,
            ssm_client=self.store,
            dynamodb_client=self.table,
            limits=Limits(refresh_wait_s=wait_s, cold_wait_s=max(wait_s, 5.0)),
            peers=Peers(source=secrets, clock=self.clock, random=lambda: 0.999),
        )

    def get(self) -> None:
        self.clock.advance(5)
        assert "one" == self.cache.get_secret_string("prod/db")


def test_the_parameter_is_read_at_the_first_check_and_not_by_the_constructor() -> None:
    """Once, however many checks follow; the table is asked by the name that it says."""
    process = Process()
    assert [] == process.store.asked
    for _ in range(4):
        process.get()
    assert (["/keyturn/marker-table"], {"markers"}) == (process.store.asked, set(process.table.names))


def test_a_parameter_that_cannot_be_read_leaves_the_short_bound_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The secret is served and not covered; status and log say why, once; later the table is followed."""
    process = Process()
    process.store.fault = "AccessDeniedException"
    with caplog.at_level(logging.WARNING, "keyturn"):
        for _ in range(2):
            process.get()
        status = process.cache.status()
        assert "ssm:GetParameter" in (status.table.trouble or "")
        assert (False, status.table.trouble) == (status.secrets[0].covered, status.secrets[0].why)
        assert status.secrets[0].bound_s <= 330
        asked = len(process.store.asked)
        process.store.fault = ""
        process.get()
        process.get()
    warned = [one for one in caplog.records if GIVEN in one.getMessage()]
    assert 1 == len(warned)
    assert asked + 1 == len(process.store.asked)
    assert "markers" in process.table.names


def test_a_parameter_store_that_hangs_makes_a_caller_wait_no_longer_than_a_table_does() -> None:
    """The read is a part of the check, in the check's own thread; once it answers, the table is asked."""
    process = Process(wait_s=0.05)
    process.get()
    process.store.answers.clear()
    begun_s = time.monotonic()
    process.get()
    assert time.monotonic() - begun_s < 10
    assert [] == process.table.names
    process.store.answers.set()


def test_one_of_several_tables_may_be_named_by_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the environment; a list is separated by commas, as ever."""
    monkeypatch.setenv("KEYTURN_MARKER_TABLE", GIVEN)
    monkeypatch.setenv("KEYTURN_MARKER_TABLES", CENTRAL)
    tables = SecretCache().status().tables
    assert [GIVEN, CENTRAL] == [one.name for one in tables]
