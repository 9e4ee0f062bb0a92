"""What every convergence table does, in memory or behind a client."""

from __future__ import annotations

from typing import Protocol

from keyturn.convergence.table import ReportsRead
from keyturn.model.markers import Report
from keyturn.model.protocols import Reports

KEY = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db"
REPORT = Report("e1", {KEY: "v1"}, 1_790_000_000.25, 1_790_000_901.0, "orders")


class Table(Reports, Protocol):
    """What is written, and read by who counts."""

    def read(self) -> ReportsRead: ...


class ReportsContract:
    """Each test gets `table`, empty."""

    def test_a_report_is_read_as_it_was_written(self, table: Table) -> None:
        """Every field, also of one that holds nothing, has no label, or left something out."""
        bare = Report("e2", {}, 1_790_000_000.0, 1_790_000_000.0, left_out=7)
        table.write(REPORT)
        table.write(bare)
        read = table.read()
        assert [REPORT, bare] == sorted(read.reports)
        assert 0 == read.unusable

    def test_the_moment_of_the_reading_is_told(self, table: Table) -> None:
        """By the table's own clock, by which reports end."""
        assert table.read().answered_at_s is not None

    def test_an_environment_has_one_report(self, table: Table) -> None:
        """Its next one takes the place of the last, whatever is in it."""
        table.write(REPORT)
        later = REPORT._replace(held={KEY: "v2"}, reported_at_s=REPORT.reported_at_s + 1, label="")
        table.write(later)
        assert (later,) == table.read().reports

    def test_reports_past_their_end_are_given_too(self, table: Table) -> None:
        """DynamoDB deletes them days later, and nobody may count on that: who reads decides."""
        over = REPORT._replace(reported_at_s=1000.0, expires_at_s=1900.0)
        table.write(over)
        assert (over,) == table.read().reports

    def test_more_than_a_page_is_read(self, table: Table) -> None:
        """A Scan gives 1 MB: 12 environments with 1,000 secrets each are more."""
        held = {f"{KEY}-{number}": "v" * 36 for number in range(1000)}
        for number in range(12):
            table.write(REPORT._replace(environment=f"e{number}", held=held))
        read = table.read()
        assert 12 == len({one.environment for one in read.reports})
        assert all(one.held == held for one in read.reports)
