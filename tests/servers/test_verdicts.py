"""On the real servers, with the drivers that are installed, every verdict is as the table says."""

from __future__ import annotations

import warnings

import pytest

from keyturn.refusals import is_refused
from tests.verdicts import SERVERS
from tests.verdicts.__main__ import tried


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xdist_group("rabbitmq") if name == "rabbitmq" else ())
        for name in SERVERS
        if name != "documented"
    ],
)
def test_every_verdict_is_as_expected(name: str) -> None:
    """Each driver fails in each situation, and a refusal is told from other trouble."""
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for server in SERVERS[name]():
            for driver, situation in server.cases():
                error = tried(driver, situation)
                if error is None or is_refused(error) != situation.refused:
                    wrong.append(f"{server.name}, {driver.title}, {situation.name}: {error!r}")
    assert wrong == []
