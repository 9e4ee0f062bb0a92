"""Check of the way to AWS as far as this host can tell: endpoints, names, proxies. It sends no request."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from keyturn.cli.doctor.finding import Cause, Check, Finding, Level, Subject, wrong

NETWORK: Final = "network"
"""The name of the check."""

SERVICES: Final = ("secretsmanager", "dynamodb")
"""The services that every reader calls."""

INSTANCE_METADATA: Final = "169.254.169.254"
"""Where an EC2 instance gets its credentials. botocore asks there through the proxy of http."""

_SWITCHES: Final = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_PAGE: Final = "keyturn help networks"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the network without a request.

    Args:
        environment: the environment variables.
        endpoint: returns the URL that a client for a service calls.
        resolve: returns the addresses of a host's name, or raises `OSError`.
    """

    environment: Mapping[str, str]
    endpoint: Callable[[str], str]
    resolve: Callable[[str], Sequence[str]]


def addresses(host: str) -> Sequence[str]:
    """Return the addresses of a host as this host's resolver knows them."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def checks_of(around: Surroundings) -> Mapping[str, Check]:
    """Return the check of these surroundings, by its name."""

    def network(_subject: Subject) -> Finding:
        """Check that the names of the endpoints are resolved, and say which way calls go."""
        urls = {service: around.endpoint(service) for service in SERVICES}
        proxied = _by_proxy(around.environment, urls)
        if proxied is not None:
            return proxied
        ways = []
        for url in urls.values():
            host = urlsplit(url).hostname or url
            try:
                ways.append(f"{host} has {_kind(around.resolve(host))}")
            except OSError:
                return _unresolved(host, around.environment)
        return Finding(NETWORK, Level.OK, "; ".join(dict.fromkeys(ways)))

    return {NETWORK: network}


def _by_proxy(environment: Mapping[str, str], urls: Mapping[str, str]) -> Finding | None:
    """Return the finding for calls that go through a proxy: it resolves the names, so they tell nothing."""
    through = {urlsplit(url).hostname or url: _proxy(environment, url) for url in urls.values()}
    through = {host: proxy for host, proxy in through.items() if proxy}
    if through:
        shown = " and ".join(dict.fromkeys(map(_shown, through.values())))
        what = f"calls of {' and '.join(through)} go through {shown}"
        fix = f"for VPC endpoints name these hosts in NO_PROXY ({_PAGE}); the proxy must pass on Date"
        return Finding(NETWORK, Level.NOTE, what, fix, Cause.BY_PROXY)
    proxy = _proxy(environment, f"http://{INSTANCE_METADATA}")
    if proxy:
        what = f"the credentials of an EC2 instance are asked for through {_shown(proxy)}"
        fix = f"name {INSTANCE_METADATA} in NO_PROXY, if this is one"
        return Finding(NETWORK, Level.NOTE, what, fix, Cause.BY_PROXY)
    return None


def _unresolved(host: str, environment: Mapping[str, str]) -> Finding:
    on = [name for name in _SWITCHES if environment.get(name, "").lower() == "true"]
    if on:
        fix = f"{' and '.join(on)} asks for this name; not every Region has it ({_PAGE})"
    else:
        fix = f"check the name server, DNS support of the VPC, and the Region ({_PAGE})"
    return wrong(NETWORK, Cause.NAME_NOT_RESOLVED, f"the name {host} is not resolved here", fix)


def _kind(found: Sequence[str]) -> str:
    addresses = [ip_address(one.partition("%")[0]) for one in found]
    if all(one.is_loopback for one in addresses):
        return "addresses of this host itself (an emulator or a tunnel)"
    if all(one.is_private for one in addresses):
        return "private addresses (an interface endpoint)"
    return "public addresses (a gateway endpoint, a NAT gateway or the internet)"


def _proxy(environment: Mapping[str, str], url: str) -> str:
    """Return the proxy by which botocore calls this URL; "" if it calls the URL itself."""
    parts = urlsplit(url)
    if _is_passed_by(parts.hostname or "", _variable(environment, "no_proxy")):
        return ""
    return _variable(environment, f"{parts.scheme}_proxy")


def _is_passed_by(host: str, no_proxy: str) -> bool:
    """Return True if a proxy is not used for this host, as Python decides: by names and their ends alone."""
    ends = [one.strip().lstrip(".").lower() for one in no_proxy.split(",")]
    return no_proxy == "*" or any(host == end or host.endswith(f".{end}") for end in ends if end)


def _variable(environment: Mapping[str, str], name: str) -> str:
    """Return a variable by its name in small letters, which counts even if it is empty, or in capitals."""
    return environment[name] if name in environment else environment.get(name.upper(), "")


def _shown(proxy: str) -> str:
    """Return what a proxy is called, without the credentials that its URL may have."""
    # A password as it is may have a `/`, `?` or `#`, each of which ends the host for a parser.
    address = proxy.split("//", 1)[-1].rpartition("@")[2]
    with suppress(ValueError):
        parts = urlsplit(f"//{address}")
        if parts.hostname and parts.port != 0:
            return f"the proxy {parts.netloc}"
    return "a proxy whose URL is malformed"
