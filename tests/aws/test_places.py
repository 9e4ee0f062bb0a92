"""Secrets and tables of other accounts and Regions: which client is asked, and with whose credentials."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from keyturn import (
    AccessDeniedError,
    ConfigurationError,
    InvalidSecretIdError,
    Limits,
    Peers,
    SecretCache,
)
from keyturn.aws.clients import CLIENTS_MAX, SECRETS_TIMEOUTS_S, ClientFactory
from keyturn.aws.places import PlacedClients
from keyturn.aws.roles import roles_by_account
from keyturn.testing.fakes import FakeClock
from tests.docs.pages import python_blocks
from tests.serving import answering

HOME = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
ABROAD = "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/db-AbCdEf"
CENTRAL = "arn:aws:secretsmanager:eu-west-1:444455556666:secret:prod/db-AbCdEf"
HOST = "arn:aws:ssm:eu-west-1:111122223333:parameter/app/host"
HOST_ABROAD = HOST.replace("eu-west-1", "us-east-1")
HOST_CENTRAL = HOST.replace("111122223333", "444455556666")
TABLE = "arn:aws:dynamodb:us-east-1:111122223333:table/keyturn-markers"
CENTRAL_TABLE = "arn:aws:dynamodb:eu-west-1:444455556666:table/keyturn-markers"
ROLE = "arn:aws:iam::444455556666:role/keyturn-reader"


class Request(NamedTuple):
    """One request: what was asked, in which Region, and by whose access key."""

    operation: str
    region: str
    key: str


class Aws(ThreadingHTTPServer):
    """All of AWS behind one address: it notes who asks what where. `is_denied`: STS says no."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.requests: list[Request] = []
        self.is_denied = False
        self.expires_s = 3600.0

    def asked(self, operation: str) -> list[tuple[str, str]]:
        """The Regions in which this was asked, and by whose key."""
        return [(one.region, one.key) for one in self.requests if one.operation == operation]


def parameter(asked: str, region: str) -> dict[str, object]:
    """An answer's entry for this name or ARN, in a Region."""
    name = "/" + asked.rpartition("parameter/")[2] if asked.startswith("arn:") else asked
    own = HOST.replace("eu-west-1", region).replace("/app/host", name)
    arn = asked if asked.startswith("arn:") else own
    return {"Name": name, "ARN": arn, "Value": "one", "Version": 1, "Type": "String"}


class Answers(BaseHTTPRequestHandler):
    """Answers reads with the secret or parameters that were asked for, and AssumeRole with another key."""

    # Head and body in one packet: else a client waits for the rest by 40 ms of Nagle's algorithm.
    wbufsize = -1

    server: Aws

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        scope = self.headers["Authorization"].split("Credential=")[1].split("/")
        operation = (self.headers["X-Amz-Target"] or ".AssumeRole").rpartition(".")[2]
        self.server.requests.append(Request(operation, scope[2], scope[0]))
        if operation == "AssumeRole":
            self._assume_role(body)
        elif operation == "GetSecretValue":
            secret_id = json.loads(body)["SecretId"]
            arn = secret_id if secret_id.startswith("arn:") else HOME
            name = arn.rpartition(":")[2][:-7]
            answer = {
                "ARN": arn,
                "Name": name if "-AbCdEf" in arn else "prod/db",
                "VersionId": "v1",
                "VersionStages": ["AWSCURRENT"],
            }
            self._answer(200, json.dumps(answer | {"SecretString": "one"}))
        elif operation == "GetParameter":
            self._answer(200, json.dumps({"Parameter": parameter(json.loads(body)["Name"], scope[2])}))
        elif operation in ("GetParameters", "GetParametersByPath"):
            names = json.loads(body).get("Names", ["/app/host"])
            self._answer(200, json.dumps({"Parameters": [parameter(name, scope[2]) for name in names]}))
        else:
            self._answer(400, json.dumps({"__type": "AccessDeniedException", "message": "no"}))

    def _assume_role(self, body: str) -> None:
        assert "RoleSessionName=keyturn" in body
        if self.server.is_denied:
            error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no trust</Message></Error>"
            self._answer(403, f"<ErrorResponse>{error}</ErrorResponse>")
            return
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.server.expires_s))
        number = len(self.server.asked("AssumeRole"))
        credentials = (
            f"<AccessKeyId>ASIAASSUMED{number}</AccessKeyId><SecretAccessKey>made-up</SecretAccessKey>"
            f"<SessionToken>made-up</SessionToken><Expiration>{until}</Expiration>"
        )
        self._answer(
            200,
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
            f"<Credentials>{credentials}</Credentials></AssumeRoleResult></AssumeRoleResponse>",
        )

    def _answer(self, status: int, content: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """AWS, which every client of this test uses."""
    server = Aws()
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    with answering(server):
        yield server


def test_a_secret_is_read_where_its_arn_says(aws: Aws) -> None:
    """Also by a partial ARN; a name is read in the process's own Region."""
    for secret_id in ("prod/db", HOME, ABROAD, ABROAD[:-7]):
        assert "one" == SecretCache(marker_table=False).get_secret_string(secret_id)
    own, abroad = ("eu-west-1", "AKIAOWN"), ("us-east-1", "AKIAOWN")
    assert [own, own, abroad, abroad] == aws.asked("GetSecretValue")


def test_the_given_client_is_asked_about_its_own_region_only(aws: Aws) -> None:
    """What is in another Region is read by a client that keyturn makes."""
    given = ClientFactory().make("secretsmanager", (1.0, 1.0), "us-east-1", agent="given")
    cache = SecretCache(given, marker_table=False)  # type: ignore[arg-type] # botocore's clients have no types
    for secret_id in (ABROAD, HOME):
        cache.get(secret_id)
    assert ["us-east-1", "eu-west-1"] == [region for region, _ in aws.asked("GetSecretValue")]


def test_a_parameter_is_read_where_its_arn_says(aws: Aws) -> None:
    """By a name in the process's own Region; that of an account with a role by the role's credentials."""
    for name in ("/app/host", HOST, HOST_ABROAD, HOST_CENTRAL):
        cache = SecretCache(marker_table=False, peers=Peers(roles=[ROLE]))
        assert "one" == cache.get_parameter(name).value
    own, abroad, central = ("eu-west-1", "AKIAOWN"), ("us-east-1", "AKIAOWN"), ("eu-west-1", "ASIAASSUMED1")
    assert [own, own, abroad, central] == aws.asked("GetParameter")


def test_parameters_of_several_places_are_one_request_to_each(aws: Aws) -> None:
    """Also where their names alternate; a path is one of the process's own Region."""
    cache = SecretCache(marker_table=False)
    names = [name for number in range(3) for name in (f"/app/{number}", f"{HOST_ABROAD}/{number}")]
    assert dict.fromkeys(names, "one") == {
        name: read.value for name, read in cache.get_parameters(names).items()
    }
    own, abroad = ("eu-west-1", "AKIAOWN"), ("us-east-1", "AKIAOWN")
    assert [own, abroad] == aws.asked("GetParameters")
    assert ["/app/host"] == list(cache.get_parameters_by_path("/app"))
    assert [own] == aws.asked("GetParametersByPath")


def test_the_given_client_for_parameters_is_asked_about_its_own_region_only(aws: Aws) -> None:
    """Names mean parameters there. What is in another Region is read by a client that keyturn makes."""
    given = ClientFactory().make("ssm", (1.0, 1.0), "us-east-1", agent="given")
    cache = SecretCache(ssm_client=given, marker_table=False)  # type: ignore[arg-type] # botocore has no types
    for name in ("/app/other", HOST_ABROAD, HOST):
        cache.get_parameter(name)
    assert ["us-east-1", "us-east-1", "eu-west-1"] == [region for region, _ in aws.asked("GetParameter")]


def test_tables_are_asked_where_they_are(aws: Aws) -> None:
    """One client for each Region; a table of an account with a role is asked with the role's credentials."""
    clock = FakeClock()
    cache = SecretCache(
        marker_table=("keyturn-markers", TABLE, CENTRAL_TABLE), peers=Peers(clock=clock, roles=[ROLE])
    )
    for secret_id in (HOME, ABROAD, CENTRAL):
        cache.get(secret_id)
    clock.advance(6)
    cache.check()
    expected = {("eu-west-1", "AKIAOWN"), ("us-east-1", "AKIAOWN"), ("eu-west-1", "ASIAASSUMED1")}
    assert expected == set(aws.asked("GetItem")) == set(aws.asked("GetSecretValue"))
    assert [("eu-west-1", "AKIAOWN")] == aws.asked("AssumeRole")


def test_the_page_runs(aws: Aws) -> None:
    """Each of its two secrets is read where the page says, the second with the credentials of the role."""
    [example] = python_blocks("docs/accounts-and-regions.md")
    names: dict[str, object] = {}
    exec(compile(example, "page", "exec", dont_inherit=True), names)  # noqa: S102 # the page's own code
    assert [("us-east-1", "AKIAOWN"), ("eu-west-1", "ASIAASSUMED1")] == aws.asked("GetSecretValue")


def test_a_role_is_assumed_for_its_account_only(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """`KEYTURN_ROLES` names it; its credentials are used until shortly before they expire, then renewed."""
    monkeypatch.setenv("KEYTURN_ROLES", f"{ROLE}, ")
    cache = SecretCache(marker_table=False, limits=Limits(min_refresh_interval_s=0))
    aws.expires_s = 60.0
    cache.get("prod/db")
    assert [] == aws.asked("AssumeRole")
    for _ in range(2):
        cache.invalidate(CENTRAL)
        cache.get(CENTRAL)
    keys = [key for _, key in aws.asked("GetSecretValue")]
    assert ["AKIAOWN", "ASIAASSUMED1", "ASIAASSUMED2"] == keys


def test_a_role_that_may_not_be_assumed_is_a_denial_of_that_secret(aws: Aws) -> None:
    """The error says that STS refused; secrets of other accounts are served."""
    aws.is_denied = True
    cache = SecretCache(marker_table=False, peers=Peers(roles=[ROLE]))
    with pytest.raises(AccessDeniedError, match="AssumeRole"):
        cache.get(CENTRAL)
    assert "one" == cache.get_secret_string("prod/db")


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (["keyturn-reader"], "roles: 'keyturn-reader' is not the ARN of an IAM role"),
        ([ROLE.replace("role/", "user/")], "is not the ARN of an IAM role"),
        ([ROLE.replace("444455556666", "")], "is not the ARN of an IAM role"),
        ([f"{ROLE};arn:aws:iam::555566667777:role/reader"], "is not the ARN of an IAM role"),
        ([f"{ROLE} arn:aws:iam::555566667777:role/reader"], "is not the ARN of an IAM role"),
        ([f"{ROLE}|arn:aws:iam::555566667777:role/reader"], "is not the ARN of an IAM role"),
        ([f"{ROLE}\n"], "is not the ARN of an IAM role"),
        ([f"{ROLE} b"], "is not the ARN of an IAM role"),
        ([f"{ROLE}/"], "is not the ARN of an IAM role"),
        (["arn:aws:iam::444455556666:role/"], "is not the ARN of an IAM role"),
        (["arn:aws:iam::444455556666:role//reader"], "is not the ARN of an IAM role"),
        ([ROLE.replace("arn:aws:", "arn:foo:")], "is not the ARN of an IAM role"),
        ([ROLE.replace("iam::", "iam:eu-west-1:")], "is not the ARN of an IAM role"),
        ([ROLE, ROLE + "-2"], f"{ROLE!r} and {ROLE + '-2'!r} are of the same account; give one"),
        ([7], "roles: 7 is not the ARN"),
        (ROLE, "roles is a str; give a sequence of ARNs of roles"),
    ],
)
def test_roles_that_cannot_work_are_refused_at_once(roles: object, said: str) -> None:
    """The error says which of them."""
    with pytest.raises(ConfigurationError) as raised:
        SecretCache(marker_table=False, peers=Peers(roles=roles))  # type: ignore[arg-type] # wrong on purpose
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "role",
    [
        "arn:aws-us-gov:iam::444455556666:role/reader",
        "arn:aws-eusc:iam::444455556666:role/reader",
        "arn:aws:iam::444455556666:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Ops_0a1b",
        "arn:aws:iam::444455556666:role/a+b=c,d.e@f_g-h",
    ],
)
def test_a_role_may_have_a_path_and_be_of_any_partition(role: str) -> None:
    """Its name has the characters that IAM allows."""
    assert {"444455556666": role} == roles_by_account([role], "roles")


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument that was not given is not blamed."""
    monkeypatch.setenv("KEYTURN_ROLES", "reader")
    with pytest.raises(ConfigurationError, match=r"^KEYTURN_ROLES: 'reader'"):
        SecretCache(marker_table=False)


def test_a_region_that_cannot_be_is_an_error_of_that_secret(aws: Aws) -> None:
    """An ARN's Region is never sent anywhere unless it can be the name of a Region."""
    cache = SecretCache(marker_table=False)
    with pytest.raises(InvalidSecretIdError, match="the Region in its ARN") as raised:
        cache.get("arn:aws:secretsmanager:evil.example/:111122223333:secret:prod/db-AbCdEf")
    assert "AWS_REGION" not in str(raised.value)
    assert [] == aws.requests


@pytest.mark.parametrize("home", ["eu-west-1", ""], ids=["a home Region", "none"])
def test_a_wrong_region_of_a_role_spoils_no_other_id(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """The role is assumed in the Region of the environment, or in that of each id: never in a wrong one."""
    monkeypatch.setenv("AWS_REGION", home)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    cache = SecretCache(marker_table=False, peers=Peers(roles=[ROLE]))
    with pytest.raises(InvalidSecretIdError):
        cache.get(CENTRAL.replace("eu-west-1", "eu_west_1"))
    assert "one" == cache.get_secret_string(CENTRAL)
    assert "one" == cache.get_secret_string(CENTRAL.replace("eu-west-1", "us-east-1"))
    regions = ["eu-west-1"] if home else ["eu-west-1", "us-east-1"]
    assert [(region, "AKIAOWN") for region in regions] == aws.asked("AssumeRole")


def test_a_roles_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names no Region, callers choose in which one a role is assumed."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    factory = ClientFactory()
    for number in range(CLIENTS_MAX + 2):
        with pytest.raises(ConfigurationError):
            factory.make("secretsmanager", SECRETS_TIMEOUTS_S, f"no_{number}", role=ROLE)
    assert CLIENTS_MAX == len(factory._assumed)  # noqa: SLF001 # what is kept


def test_callers_cannot_make_clients_without_end() -> None:
    """Ids with ever new Regions keep no more than a bounded number of clients: those that were made last."""
    made: list[str | None] = []

    def make(region: str | None, _: str | None) -> object:
        made.append(region)
        return object()

    clients = PlacedClients(None, make, lambda: "eu-west-1", {})

    def ask(number: int) -> None:
        clients.at(f"arn:aws:secretsmanager:region-{number}:111122223333:secret:prod/db")

    for number in range(3 * CLIENTS_MAX):
        ask(number)
    assert 3 * CLIENTS_MAX == len(made)
    for number in range(2 * CLIENTS_MAX, 3 * CLIENTS_MAX):
        ask(number)
    assert 3 * CLIENTS_MAX == len(made)
    ask(2 * CLIENTS_MAX - 1)
    assert 3 * CLIENTS_MAX + 1 == len(made)


def test_roles_are_by_account() -> None:
    """The account is that of the role's ARN, so nothing can be mismatched."""
    assert {"444455556666": ROLE} == roles_by_account([ROLE], "roles")
