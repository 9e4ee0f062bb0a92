"""Each cause that the doctor names is brought about, named, and mended by the words of docs/runbook.md."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from keyturn.cli.doctor.finding import Cause
from tests.runbook.findings import STORIES, WITHOUT_COMMANDS
from tests.runbook.world import World, sections

RANKS = ("note", "unknown", "wrong")


def named(findings: Iterable[dict[str, str]], cause: Cause) -> set[tuple[str, str]]:
    """The checks that name this cause, each with its level: those of the worst level alone."""
    found = {(one["check"], one["level"]) for one in findings if one["cause"] == cause.value}
    worst = max((RANKS.index(level) for _, level in found), default=0)
    return {(check, level) for check, level in found if level == RANKS[worst]}


def test_every_cause_has_a_story_and_a_section() -> None:
    """And no section is of a cause that nothing names; the few without a command are these."""
    of_page = [heading for heading in sections() if not heading.endswith("Alarm")]
    assert {cause.value for cause in Cause} == set(of_page) == {cause.value for cause in STORIES}
    without = {heading for heading in of_page if not sections()[heading]}
    assert {cause.value for cause in WITHOUT_COMMANDS} == without


@pytest.mark.e2e
@pytest.mark.proof
@pytest.mark.parametrize("cause", STORIES, ids=lambda cause: str(cause.value))
def test_the_words_of_the_runbook_mend(world: World, cause: Cause) -> None:
    """Broken, named, mended: by the command that the doctor prints, where it prints one, and by the page."""
    story = STORIES[cause]
    world.calm()
    assert not named(world.doctor(), cause) or cause is Cause.NO_TRAIL
    story.breaks(world)
    findings = world.doctor(*story.options(world))
    broken = named(findings, cause)
    assert broken, findings
    fixes = [one["fix"] for one in findings if (one["check"], one["level"]) in broken]
    fix = "".join(re.findall(r"(?:^|: )(aws .*)", fixes[0]))
    if fix:
        world.type(fix)
        story.after(world)
        assert not broken & named(world.doctor(*story.options(world)), cause), fix
        story.breaks(world)
        assert broken == named(world.doctor(*story.options(world)), cause)
    world.type(sections()[cause.value].replace("eu-central-1", world.start["AWS_REGION"]))
    story.after(world)
    after = world.doctor(*story.options(world))
    assert not broken & named(after, cause), after
