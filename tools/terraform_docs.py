"""Write the tables of the modules' READMEs: requirements, inputs and outputs.

    python -m tools.terraform_docs [--check]

The tables are written as terraform-docs writes them with infra/terraform/.terraform-docs.yml, so that either
can keep them; this needs no program. With `--check` nothing is written, and the exit code is 1 if a table
differs. It reads what `terraform fmt` has formatted, and nothing else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tools.generated import ROOT, write_or_check

MODULES: Final = (ROOT / "infra" / "terraform", ROOT / "infra" / "terraform" / "modules" / "rotation")
BEGIN: Final = "<!-- BEGIN_TF_DOCS -->\n"
END: Final = "<!-- END_TF_DOCS -->"
BLOCK: Final = r'^{kind} "(\w+)" {{\n(.*?)^}}$'
VALUE: Final = r"^  {name} += (.*)$"


def blocks(text: str, kind: str) -> list[tuple[str, str]]:
    """Return the blocks of one kind, each with its name and its body, by name."""
    return sorted(re.findall(BLOCK.format(kind=kind), text, re.MULTILINE | re.DOTALL))


def value(body: str, name: str) -> str | None:
    """Return the value of an attribute that stands in one line, as it is written."""
    found = re.search(VALUE.format(name=name), body, re.MULTILINE)
    return found[1] if found else None


def described(body: str) -> str:
    """Return the description of a block as a cell of a table."""
    return (value(body, "description") or '""')[1:-1].replace('\\"', '"').replace("|", "\\|")


def requirements(text: str) -> Iterator[str]:
    """Yield the lines of the versions that are required."""
    yield from ("## Requirements", "", "| Name | Version |", "|------|---------|")
    yield f"| terraform | {(value(text, 'required_version') or '')[1:-1]} |"
    for name, body in re.findall(r"^    (\w+) = {\n(.*?)^    }$", text, re.MULTILINE | re.DOTALL):
        version = re.search(r'version = "(.*)"', body)
        yield f"| {name} | {version[1] if version else 'n/a'} |"
    yield ""


def inputs(text: str) -> Iterator[str]:
    """Yield the lines of the variables."""
    yield from ("## Inputs", "", "| Name | Description | Type | Default | Required |")
    yield "|------|-------------|------|---------|:--------:|"
    for name, body in blocks(text, "variable"):
        default = value(body, "default")
        shown, is_required = ("n/a", "yes") if default is None else (f"`{default}`", "no")
        yield f"| {name} | {described(body)} | `{value(body, 'type')}` | {shown} | {is_required} |"
    yield ""


def outputs(text: str) -> Iterator[str]:
    """Yield the lines of the outputs."""
    yield from ("## Outputs", "", "| Name | Description |", "|------|-------------|")
    yield from (f"| {name} | {described(body)} |" for name, body in blocks(text, "output"))


def tables(module: Path) -> str:
    """Return the tables of a module."""
    texts = (module / f"{name}.tf" for name in ("versions", "variables", "outputs"))
    versions, variables, results = (file.read_text("utf-8") for file in texts)
    return "\n".join([*requirements(versions), *inputs(variables), *outputs(results)]) + "\n"


def with_tables(readme: str, made: str) -> str:
    """Return a README's text with these tables. Raises `ValueError` for one that has no place for them."""
    before, begins, rest = readme.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends:
        raise ValueError(f"the README has no lines {BEGIN.strip()} and {END}")
    return before + BEGIN + made + END + after


def main(arguments: Sequence[str]) -> int:
    """Write the tables of all modules, or compare them with `--check`. Return the exit code."""
    readmes = {module / "README.md": tables(module) for module in MODULES}
    texts = {readme: with_tables(readme.read_text("utf-8"), made) for readme, made in readmes.items()}
    return write_or_check(texts, "the module", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
