"""Rotations on real servers while workers log in: short forms of the stories in docs/login.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Final

import pytest

from keyturn.testing.embedded import EmbeddedAws
from tests.stories import SETTINGS
from tests.stories.plots import PLOTS, SHORT, Plot, told
from tests.stories.stage import Clients, Server, Setting, clients_of

pytestmark = pytest.mark.e2e

SINGLE_USER: Final = "single user, not announced"
"""Told with every driver. The other stories are told with some of them."""


@pytest.fixture(scope="module")
def clients(embedded_aws: EmbeddedAws) -> Iterator[Clients]:
    """Clients with room for all workers."""
    with clients_of(embedded_aws) as clients:
        yield clients


class Place:
    """The server of one setting at a time. It runs until another one is asked for."""

    def __init__(self) -> None:
        self._setting: Setting | None = None
        self._running = ExitStack()

    def server(self, setting: Setting) -> Server:
        """Return the server of this setting, with its drivers."""
        if setting is not self._setting:
            self.close()
            self._server = self._running.enter_context(setting.start())
            self._setting = setting
        return self._server

    def close(self) -> None:
        """End the server."""
        self._setting = None
        self._running.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Where the servers run. A fixture of each server would end and start it between any two stories."""
    with closing(Place()) as place:
        yield place


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


@pytest.mark.parametrize(("setting", "plot"), SHORT_STORIES)
def test_no_login_fails(clients: Clients, place: Place, setting: Setting, plot: Plot) -> None:
    """0 failed logins, and 0 refused with two passwords; with one, a refresh and a retry does fail."""
    server = place.server(setting)
    every_other = 1 if plot.title == SINGLE_USER else max(1, len(server.drivers) // 2)
    assert [] == told(replace(server, drivers=server.drivers[::every_other]), plot, SHORT, clients).faults()
