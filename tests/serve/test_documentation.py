"""docs/serve.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from keyturn.serve.openapi import EXTENSION_STATUSES
from keyturn.serve.queries import ParameterQuery, SecretQuery
from keyturn.serve.statuses import ANSWERS, INTERNAL

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if "|" in line]


def test_every_error_is_in_the_table_of_statuses() -> None:
    """Each of AWS's error codes stands there, with the status that it has on each path."""
    for answer in (*ANSWERS.values(), INTERNAL):
        (row,) = (row for row in ROWS if len(row) == 4 and answer.code in row[3] and row[1].isdecimal())
        assert (str(answer.extension), row[2] or str(answer.agent)) == (row[1], str(answer.agent)), row


def test_every_status_is_in_the_table() -> None:
    """No status of the OpenAPI document is missing."""
    told = {row[1] for row in ROWS if len(row) == 4}
    assert EXTENSION_STATUSES.keys() - told == set()


def test_every_parameter_is_named() -> None:
    """Each query parameter stands in the row of its path."""
    for path, query in (
        ("/secretsmanager/get", SecretQuery),
        ("/systemsmanager/parameters/get", ParameterQuery),
    ):
        (row,) = (row for row in ROWS if row[0].startswith(f"`{path}`"))
        names = query.model_json_schema(by_alias=True)["properties"]
        assert [name for name in names if f"`{name}`" not in row[1]] == []
