"""Rotations on real servers while workers log in: short forms of the stories in docs/login.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.stories import SETTINGS
from tests.stories.plots import PLOTS, SHORT, Plot, told
from tests.stories.stage import Clients, Server, clients_of

pytestmark = pytest.mark.e2e

SINGLE_USER: Final = "single user, not announced"
"""Told with every driver. The other stories are told with some of them."""


@pytest.fixture(scope="module")
def clients(embedded_aws: EmbeddedAws) -> Iterator[Clients]:
    """Clients with room for all workers."""
    with clients_of(embedded_aws) as clients:
        yield clients


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server of a setting, with its drivers."""
    with request.param.start() as server:
        yield server


ALIKE: Final = {
    "Valkey": (SINGLE_USER, "two passwords, not announced"),
    "Valkey cluster of three": (SINGLE_USER, "two passwords, not announced"),
}
"""What is told on a server that is like another one, on which all is told."""

SHORT_STORIES: Final = [
    pytest.param(
        setting,
        plot,
        marks=pytest.mark.xdist_group(f"stories of {setting.title}"),
        id=f"{setting.title}, {plot.title}",
    )
    for setting in SETTINGS
    for plot in PLOTS
    if plot.in_short and plot.suits(setting) and plot.title in ALIKE.get(setting.title, (plot.title,))
]


@pytest.mark.parametrize(("server", "plot"), SHORT_STORIES, indirect=["server"])
def test_no_login_fails(clients: Clients, server: Server, plot: Plot) -> None:
    """0 failed logins, and 0 refused with two passwords; with one, a refresh and a retry does fail."""
    drivers = (
        server.drivers if plot.title == SINGLE_USER else server.drivers[:: max(1, len(server.drivers) // 2)]
    )
    assert [] == told(replace(server, drivers=drivers), plot, SHORT, clients).faults()
