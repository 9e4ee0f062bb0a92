"""The modules of a cold start are listed with what each costs."""

from __future__ import annotations

from benchmarks import imports
from benchmarks.imports import STANDARD


def test_modules_are_listed_with_their_cost() -> None:
    """Each module of keyturn by name, the sums of packages, and the sum of each program."""
    programs = {"ours": "import keyturn.errors, json", "theirs": "import json.tool"}
    part = imports.measured(programs, "ours", {}, 2)
    rows = {row.name: row for row in part.rows}
    assert {"all imports: ours", "all imports: theirs", f"all of {STANDARD}"} < set(rows)
    assert {"keyturn", "keyturn.errors"} == {name for name in rows if name.startswith("keyturn")}
    assert "2 modules" == rows["all of keyturn"].note
    assert all(row.unit == "ms" and row.median >= 0 for row in part.rows)
    assert rows["all imports: ours"].median >= rows["keyturn.errors"].median


def test_what_was_there_before_is_not_counted() -> None:
    """The interpreter's own modules, and those that the measurement needs, are nobody's cost."""
    found = imports.costs_of("import json", {}, 1, before=("json.decoder",))
    assert "json" in found
    assert "json.decoder" not in found
