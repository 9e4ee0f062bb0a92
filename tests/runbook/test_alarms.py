"""Each alarm of the stack is brought about, told from its text, and ended by the words of docs/runbook.md."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping
from typing import Final, cast

import pytest

from tests.runbook.alarms import STORIES
from tests.runbook.world import World, sections
from tests.templates import read_template
from tools.build_listener import ROOT

ABOVE_OR_BELOW: Final[Mapping[object, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
}


def alarms() -> dict[str, Mapping[str, object]]:
    """The alarms of the template: name -> properties."""
    path = ROOT / "infra" / "template.yaml"
    template = cast("dict[str, dict[str, dict[str, object]]]", read_template(path))
    return {
        name: cast("Mapping[str, object]", one["Properties"])
        for name, one in template["Resources"].items()
        if one["Type"] == "AWS::CloudWatch::Alarm"
    }


def is_on(name: str, value: float) -> bool:
    """Whether this value of its metric, period after period, is an alarm."""
    alarm = alarms()[name]
    return ABOVE_OR_BELOW[alarm["ComparisonOperator"]](value, float(str(alarm["Threshold"])))


TOLD_ELSEWHERE: Final = {"BehindAlarm"}
"""Only where `Convergence` is true: tests/listener/test_deployed.py lets an environment stay behind."""


NEVER_ON: Final = {"SweptAlarm"}
"""It is a part of `LeaseLost`, and tells nobody."""


def test_every_alarm_has_a_story_and_a_section_with_commands() -> None:
    """And no section is of an alarm that there is not."""
    of_page = {heading for heading in sections() if heading.endswith("Alarm")}
    assert alarms().keys() - NEVER_ON == of_page == STORIES.keys() | TOLD_ELSEWHERE
    assert [name for name in of_page if not sections()[name]] == []


@pytest.mark.e2e
@pytest.mark.proof
@pytest.mark.parametrize("name", STORIES)
def test_the_words_of_the_runbook_end_the_alarm(world: World, name: str) -> None:
    """It is off, comes on by what is broken, is named, and is off again after the page's commands."""
    story = STORIES[name]
    world.calm()
    world.sweep()
    assert not is_on(name, story.measures(world, 0.0 if name == "LeaseAlarm" else time.time()))
    begun_s = time.time()
    story.breaks(world)
    assert is_on(name, story.measures(world, begun_s))
    if story.cause is not None:
        assert story.cause.value in {one["cause"] for one in world.doctor()}
    assert story.says in str(world.logged(begun_s))
    begun_s = time.time()
    world.type(sections()[name])
    if name == "EventPathAlarm":
        world.sweep()
    assert not is_on(name, story.measures(world, begun_s))
    assert {one["level"] for one in world.doctor()} <= {"ok", "note"}
