"""CloudFormation templates as JSON, with the short forms of their functions spelled out."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path


def read_template(file: Path) -> object:
    """Return the template's content; fails if it is no valid template."""
    content: object = json.loads(_as_json(file))
    return content


@cache
def _as_json(file: Path) -> str:
    """Decode with cfn-lint, which knows CloudFormation's tags; it takes a second to import."""
    from cfnlint.decode import decode  # type: ignore[import-untyped]

    decoded, problems = decode(str(file))
    assert not problems
    return json.dumps(decoded)


def for_emulator(template: str) -> str:
    """Return the template's text without LeaseLost: the emulator's stacks have no composite alarms."""
    kept, found = re.subn(r"^  LeaseLost:\n(?:    .*\n|\n)+", "", template, flags=re.MULTILINE)
    assert found == 1
    return kept
