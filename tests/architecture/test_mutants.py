"""tools/mutants.py: no change goes unnoticed without a reason, and no reason is kept in vain."""

from __future__ import annotations

import tomllib
from typing import cast

from tests.architecture.sources import ROOT
from tools.mutants import SETTINGS, Settings, survivor, trouble

MODULE = "src/keyturn/model/thing.py"
SOURCE = '''"""A module."""


class Thing:
    """One thing."""

    def is_old(self, age_s: float) -> bool:
        """Return True if it is old."""
        return age_s > 5
'''
SHOWN = '''# keyturn.model.thing.xǁThingǁis_old__mutmut_2: survived
--- src/keyturn/model/thing.py
+++ src/keyturn/model/thing.py
@@ -1,3 +1,3 @@
 def is_old(self, age_s: float) -> bool:
     """Return True if it is old."""
-    return age_s > 5
+    return age_s >= 5
'''
NAME = "model/thing.py Thing.is_old: return age_s > 5 -> return age_s >= 5"


def test_a_change_is_named_by_what_it_changes_and_placed_by_its_line() -> None:
    """The name has no number, so it stays the same when other lines move."""
    found = survivor(MODULE, SOURCE, SHOWN)
    assert (NAME, f"{MODULE}:9") == (found.name, found.place)
    moved = survivor(MODULE, SOURCE.replace("\n\nclass", "\n\nX = 1\n\nclass"), SHOWN)
    assert (NAME, f"{MODULE}:11") == (moved.name, moved.place)


def test_a_change_without_a_reason_and_a_reason_without_a_change_are_told() -> None:
    """A reason of another module is not judged by this one."""
    found = survivor(MODULE, SOURCE, SHOWN)
    (unexplained,) = trouble(MODULE, [found], ["model/things.py another module"])
    assert unexplained.startswith(f"{MODULE}:9: no test notices this change:\n@@ -1,3 +1,3 @@\n def is_old")
    assert [] == list(trouble(MODULE, [found], [NAME]))
    (in_vain,) = trouble(MODULE, [], [NAME])
    assert in_vain.endswith(NAME)


def test_what_is_chosen_and_explained_is_there() -> None:
    """Each module and test is a file, and each explained line stands in its module."""
    settings = cast("Settings", tomllib.loads(SETTINGS.read_text("utf-8")))
    for module, chosen in settings["modules"].items():
        paths = [test.partition("::")[0] for test in chosen["tests"]]
        assert all((ROOT / path).is_file() for path in (module, *paths))
    for one in settings["explained"]:
        assert one["because"].endswith(".")
        for change in one["changes"]:
            module, _, rest = change.partition(" ")
            was = rest.partition(": ")[2].partition(" -> ")[0]
            assert f"src/keyturn/{module}" in settings["modules"]
            source = (ROOT / "src" / "keyturn" / module).read_text("utf-8")
            assert was in " ".join(line.strip() for line in source.splitlines())
