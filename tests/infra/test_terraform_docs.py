"""The Terraform modules as the registry wants them: a folder that stands alone, and a README that is true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tools.generated import ROOT
from tools.terraform_docs import MODULES, blocks, main, tables, value, with_tables

MODULE = ROOT / "infra" / "terraform"


def test_the_tables_are_those_of_the_modules(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m tools.terraform_docs` would change none of them."""
    assert (0, "") == (main(["--check"]), capsys.readouterr().out)


def test_the_tables_have_every_variable_and_output(tmp_path: Path) -> None:
    """With its default, or as required; a change of the module is seen."""
    for module in MODULES:
        made = tables(module)
        text = "".join((module / f"{name}.tf").read_text("utf-8") for name in ("variables", "outputs"))
        names = re.findall(r'^(?:variable|output) "(\w+)"', text, re.MULTILINE)
        assert len(names) > 15
        assert [] == [name for name in names if f"\n| {name} | " not in made]
    copy = shutil.copytree(MODULES[1], tmp_path / "copy")
    assert re.search(r"^\| marker_table \| .* \| `string` \| n/a \| yes \|$", tables(copy), re.MULTILINE)
    readme = (copy / "README.md").read_text("utf-8")
    (copy / "variables.tf").write_text('variable "other" {\n  description = "Another."\n  type = string\n}\n')
    assert with_tables(readme, tables(copy)) != readme


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_is_laid_out_as_usual(module: Path) -> None:
    """The usual files, and a README that begins with a heading."""
    names = {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"}
    assert names <= {file.name for file in module.iterdir()}
    assert (module / "README.md").read_text("utf-8").startswith("# ")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_null_means_the_default(module: Path) -> None:
    """Of every variable that has one. Otherwise null would take away the protection of the table, too."""
    variables = blocks((module / "variables.tf").read_text("utf-8"), "variable")
    with_default = [(name, body) for name, body in variables if value(body, "default") not in (None, "null")]
    assert len(with_default) > 10
    assert [] == [name for name, body in with_default if value(body, "nullable") != "false"]


def test_the_folder_stands_alone() -> None:
    """No source and no file of a module or an example is outside of it, wherever the folder is copied to."""
    files = [file for file in MODULE.rglob("*.tf") if ".terraform" not in file.parts]
    assert len(files) > 10
    for file in files:
        for path in re.findall(r'"(?:\$\{path\.module\}/)?((?:\.\./?)+[\w/.-]*)"', file.read_text("utf-8")):
            assert (file.parent / path).resolve().is_relative_to(MODULE), f"{file}: {path}"
