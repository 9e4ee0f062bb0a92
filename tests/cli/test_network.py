"""`keyturn doctor` about the network: what a host can know of its way to AWS without a request."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Mapping, Sequence

import pytest

from keyturn import SecretCache
from keyturn.aws.clients import make_client
from keyturn.cli.doctor.command import diagnose
from keyturn.cli.doctor.finding import Finding, Level, Subject
from keyturn.cli.doctor.network import Surroundings, addresses, checks_of
from keyturn.errors import UnavailableError
from keyturn.testing.fakes import FakeClock
from tests.cli.conftest import World
from tests.cli.test_doctor import REGION, Clinic
from tests.partitions import SOVEREIGN_CLOUD

PUBLIC = "52.94.5.100"
SECRETS, TABLES = (f"{service}.{REGION}.amazonaws.com" for service in ("secretsmanager", "dynamodb"))
NAMES: Mapping[str, Sequence[str]] = {SECRETS: ["10.0.1.7", "10.0.2.9"], TABLES: [PUBLIC]}
PROXY = {"HTTPS_PROXY": "http://user:canary-word@proxy.example:3128"}


def found(environment: Mapping[str, str], names: Mapping[str, Sequence[str]] = NAMES) -> Finding:
    """Return the finding in a network that knows these names."""

    def resolve(host: str) -> Sequence[str]:
        if host not in names:
            raise socket.gaierror(-2, "Name or service not known")
        return names[host]

    around = Surroundings(environment, lambda service: f"https://{service}.{REGION}.amazonaws.com", resolve)
    subject = Subject(Clinic(), "markers", REGION, FakeClock().wall)
    (finding,) = (one for one in diagnose(subject, about_network=checks_of(around)) if one.check == "network")
    return finding


def test_the_way_to_each_service_is_said() -> None:
    """An interface endpoint has private addresses; of public ones nothing more can be known here."""
    finding = found({})
    assert Level.OK == finding.level
    assert f"{SECRETS} has private addresses (an interface endpoint)" in finding.what
    assert f"{TABLES} has public addresses (a gateway endpoint" in finding.what


def test_an_emulator_is_no_interface_endpoint() -> None:
    """An address of this host itself is said to be that, and once if both services have it."""
    finding = found({}, {SECRETS: ["127.0.0.1", "::1"], TABLES: ["127.0.0.1"]})
    assert f"{SECRETS} has addresses of this host itself (an emulator or a tunnel)" in finding.what
    same = "http://127.0.0.1:4566"
    (way,) = checks_of(Surroundings({}, lambda _service: same, lambda host: [host])).values()
    what = way(Subject(Clinic(), "markers", REGION, FakeClock().wall)).what
    assert "127.0.0.1 has addresses of this host itself (an emulator or a tunnel)" == what


@pytest.mark.parametrize(
    ("environment", "fix"),
    [
        ({}, "DNS support of the VPC"),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, "AWS_USE_FIPS_ENDPOINT asks for this name"),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "True"}, "AWS_USE_DUALSTACK_ENDPOINT asks for this name"),
    ],
)
def test_a_name_that_is_not_resolved_is_wrong(environment: Mapping[str, str], fix: str) -> None:
    """With the variable that asks for a name that not every Region has."""
    finding = found(environment, {SECRETS: [PUBLIC]})
    assert (Level.WRONG, True) == (finding.level, f"the name {TABLES} is not resolved here" in finding.what)
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (PROXY, f"{SECRETS} and {TABLES} go through the proxy proxy.example:3128"),
        ({**PROXY, "NO_PROXY": f".dynamodb.example,{TABLES}"}, f"calls of {SECRETS} go through"),
        ({"https_proxy": "proxy.example"}, "the proxy proxy.example"),
        ({"HTTP_PROXY": "http://proxy.example:1"}, "credentials of an EC2 instance are asked for through"),
    ],
)
def test_a_proxy_is_a_note(environment: Mapping[str, str], said: str) -> None:
    """Its own words have no credentials. It resolves the names itself, so that this host need not."""
    finding = found(environment, NAMES if "HTTP_PROXY" in environment else {})
    assert Level.NOTE == finding.level
    assert said in finding.what
    assert "canary" not in repr(finding)
    assert "NO_PROXY" in finding.fix


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("http://user:12#canary@proxy:3128", "go through the proxy proxy:3128"),
        ("http://user:canary/12@proxy:3128", "go through the proxy proxy:3128"),
        ("user:12?canary//@proxy", "go through the proxy proxy"),
        ("http://user:can@ary@[::1]:3128/x", "go through the proxy [::1]:3128"),
        ("http://user:canary@[::1", "go through a proxy whose URL is malformed"),
        ("http://user:canary@proxy:99999", "go through a proxy whose URL is malformed"),
        ("http://", "go through a proxy whose URL is malformed"),
    ],
)
def test_no_part_of_a_proxys_password_is_told(proxy: str, said: str) -> None:
    """Also where it has characters that no URL has, or the URL is none: the finding comes all the same."""
    finding = found({"HTTPS_PROXY": proxy})
    assert (Level.NOTE, True) == (finding.level, finding.what.endswith(said))
    assert not {"canary", "user", "12"} & set(re.findall(r"\w+", repr(finding)))


@pytest.mark.parametrize(
    "environment",
    [
        {**PROXY, "NO_PROXY": "localhost, .amazonaws.com"},
        {**PROXY, "no_proxy": "*"},
        {"HTTP_PROXY": "http://proxy.example", "NO_PROXY": "169.254.169.254"},
        {"ALL_PROXY": "http://proxy.example"},
        {**PROXY, "https_proxy": ""},
    ],
)
def test_a_proxy_that_is_passed_by_is_not_told(environment: Mapping[str, str]) -> None:
    """By a suffix, by the star, by the address of the instance metadata; botocore knows no ALL_PROXY.

    A variable in small letters counts before that in capitals, and if it is empty there is no proxy.
    """
    assert Level.OK == found(environment).level


def test_the_command_looks_at_the_real_network(world: World) -> None:
    """The clients' own endpoints, by the variables of this process: one finding about the network."""
    world.run("doctor", environment={"HTTPS_PROXY": "http://127.0.0.1:9"})
    findings = world.asked("doctor")["findings"]
    assert isinstance(findings, list)
    assert 1 == sum(one["check"] == "network" for one in findings)
    assert {"127.0.0.1", "::1"} & set(addresses("localhost"))


@pytest.mark.parametrize(
    ("region", "switch", "host"),
    [
        ("eu-central-1", "", "secretsmanager.eu-central-1.amazonaws.com"),
        ("us-east-1", "FIPS", "secretsmanager-fips.us-east-1.amazonaws.com"),
        ("eu-central-1", "DUALSTACK", "secretsmanager.eu-central-1.api.aws"),
        ("us-gov-west-1", "", "secretsmanager.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", "FIPS", "secretsmanager-fips.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "", "secretsmanager.cn-north-1.amazonaws.com.cn"),
        ("cn-north-1", "DUALSTACK", "secretsmanager.cn-north-1.api.amazonwebservices.com.cn"),
        pytest.param(
            "eusc-de-east-1", "", "secretsmanager.eusc-de-east-1.amazonaws.eu", marks=SOVEREIGN_CLOUD
        ),
    ],
)
def test_keyturns_clients_follow_the_switches_of_the_sdk(
    monkeypatch: pytest.MonkeyPatch, region: str, switch: str, host: str
) -> None:
    """FIPS and dual-stack by AWS's variables, in each partition, although the list of endpoints is cut up."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if switch:
        monkeypatch.setenv(f"AWS_USE_{switch}_ENDPOINT", "true")
    client = make_client("secretsmanager", (1.0, 1.0), region)
    url: object = getattr(getattr(client, "meta", None), "endpoint_url", "")
    assert f"https://{host}" == url


def test_keyturns_clients_go_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is asked for a tunnel to Secrets Manager; if it refuses, the service is unavailable."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def answer() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "localhost")
        client = make_client("secretsmanager", (1.0, 1.0), "eu-central-1", attempts=1)
        with pytest.raises(UnavailableError):
            SecretCache(client, marker_table=False).get("prod/db")  # type: ignore[arg-type] # a client
        thread.join(10)
    assert asked[0].startswith(b"CONNECT secretsmanager.eu-central-1.amazonaws.com:443 ")
