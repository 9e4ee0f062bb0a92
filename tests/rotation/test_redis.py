"""Redis's part of the rotation, without a server. tests/servers rotates on real ones."""

from __future__ import annotations

import pytest

from keyturn import ConfigurationError
from keyturn.rotation.redis import TwoPasswords
from keyturn.testing.fakes import FakeClock, FakeSecretsManager


def strategy(node: str) -> TwoPasswords:
    """A strategy with one more node."""
    return TwoPasswords(FakeSecretsManager(FakeClock()), nodes=[node])


@pytest.mark.parametrize(
    "node",
    [
        *("", "h", "h:", ":1", "h:0", "h:65536", "h:x", "h,i:1", "h i:1", "/tmp/socket:1", "h:1:2"),  # noqa: S108
        *("2001:db8::1", "::1", "::1:6379", "[::1]", "[::1:6379", "::1]:6379", "[[::1]]:6379", "[h]:1"),
        *("[::1%lo]:6379", "[]:1", "redis://h:1"),
    ],
)
def test_a_node_is_a_host_with_a_port(node: str) -> None:
    """Anything else is refused when the function starts. The end of an IPv6 address is no port."""
    with pytest.raises(ConfigurationError, match="host:port"):
        strategy(node)


@pytest.mark.parametrize("node", ["h:1", "cache-2.internal:6379", "192.0.2.1:65535", "[2001:db8::1]:6379"])
def test_a_name_or_an_address_is_a_host(node: str) -> None:
    """An IPv6 address has brackets, as in a URL."""
    strategy(node)
