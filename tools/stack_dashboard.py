"""Write the dashboard of the listener's stack into its template and into its Terraform module.

    python -m tools.stack_dashboard [--check]

In the template it stands below the key with the comment `# of tools.stack_dashboard`; the module's
`dashboard.tf` is made as a whole. With `--check` nothing is written, and the exit code is 1 if one of them
differs from what would be written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from keyturn.metrics.hook import Metric
from tools.generated import ROOT, write_or_check

TEMPLATE: Final = ROOT / "infra" / "template.yaml"
MODULE: Final = ROOT / "infra" / "terraform" / "dashboard.tf"

REGION: Final = "${AWS::Region}"
NAMESPACE: Final = "keyturn"
STACK: Final = ("Stack", "${AWS::StackName}")
LISTENER: Final = ("FunctionName", "${Listener}")
TABLE: Final = ("TableName", "${MarkerTable}")
QUEUE: Final = ("QueueName", "${Undelivered.QueueName}")
READERS: Final = "keyturn,service"
"""Namespace and dimension of `EmfMetrics`, by which a reader's metrics are searched."""

REFERENCES: Final[Mapping[str, str]] = {
    "AWS::Region": "local.region",
    "BehindSeconds": "var.behind_seconds",
    "Listener": "aws_lambda_function.listener.function_name",
    "ListenerLog": "aws_cloudwatch_log_group.listener.name",
    "MarkerTable": "aws_dynamodb_table.markers.name",
    "Undelivered.QueueName": "aws_sqs_queue.undelivered.name",
}
"""What the template's names are in Terraform."""

WIDTH: Final = 8
HEIGHT: Final = 6

Widget = Mapping[str, object]


def _metrics(title: str, *metrics: Sequence[object], **more: object) -> Widget:
    shown = {"title": title, "region": REGION, "period": 300, "stat": "Sum"}
    return {"type": "metric", "properties": {**shown, **more, "metrics": metrics}}


def _own(*names: str) -> list[list[object]]:
    """Return the lines of metrics that the stack's filters make."""
    return [[NAMESPACE, name, *STACK] for name in names]


def _log(title: str, query: str) -> Widget:
    shown = {"title": title, "region": REGION, "view": "table"}
    return {"type": "log", "properties": {**shown, "query": f"SOURCE '${{ListenerLog}}' | {query}"}}


def _of_readers(title: str, *metrics: tuple[Metric, str]) -> Widget:
    """Return a widget that finds the metrics of all readers, whatever their services are called."""
    searches = [
        [{"id": f"m{number}", "label": "", "expression": _search(metric, stat)}]
        for number, (metric, stat) in enumerate(metrics)
    ]
    return _metrics(title, *searches)


def _search(metric: Metric, stat: str) -> str:
    return f"SEARCH('{{{READERS}}} MetricName=\"{metric.value}\"', '{stat}', 300)"


def widgets() -> Iterator[Widget]:
    """Yield the widgets in their order, three in a row."""
    events = [["AWS/Lambda", name, *LISTENER] for name in ("Invocations", "Errors", "Throttles")]
    waits = ["AWS/Lambda", "AsyncEventAge", *LISTENER, {"stat": "Maximum", "yAxis": "right"}]
    capacity = [
        ["AWS/DynamoDB", name, *TABLE]
        for name in (
            "ConsumedReadCapacityUnits",
            "ConsumedWriteCapacityUnits",
            "ReadThrottleEvents",
            "WriteThrottleEvents",
        )
    ]
    limit = {"horizontal": [{"label": "BehindSeconds", "value": "${BehindSeconds}"}]}
    yield _metrics("Events at the listener", *events)
    yield _metrics(
        "Events that wait or are lost",
        ["AWS/Lambda", "AsyncEventsDropped", *LISTENER],
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", *QUEUE, {"stat": "Maximum"}],
        waits,
    )
    yield _metrics("Sweeps, and moves that no event had told", *_own("LeaseRenewed", "FoundBySweep"))
    yield _log(
        "Last markers",
        'filter outcome = "written" | sort @timestamp desc | limit 20 | display @timestamp, key, reason',
    )
    yield _log(
        "Last announcements to the listener, and failed rotations",
        "filter reason like /^announced|Rotation(Failed|Abandoned)/ | sort @timestamp desc | limit 20"
        " | display @timestamp, hinted, reason",
    )
    yield _metrics("The marker table", *capacity)
    yield _metrics(
        "Environments, and those behind",
        *_own("Environments", "Behind"),
        stat="Maximum",
    )
    yield _metrics(
        "The oldest that is behind, in seconds", *_own("OldestBehind"), stat="Maximum", annotations=limit
    )
    yield _of_readers("Readers: how late a rotation is used, in seconds", (Metric.LAG_S, "p99"))
    yield _of_readers(
        "Readers: what fails",
        (Metric.CHECKS_FAILED, "Sum"),
        (Metric.READS_FAILED, "Sum"),
        (Metric.STALE_SERVED, "Sum"),
    )
    yield _of_readers("Readers: logins", (Metric.REFUSALS, "Sum"), (Metric.LOGINS_FAILED, "Sum"))
    yield _of_readers(
        "Readers: rereads, and markers that are not followed",
        (Metric.INVALIDATIONS, "Sum"),
        (Metric.READS_IN_VAIN, "Sum"),
        (Metric.MARKERS_HELD_OFF, "Sum"),
    )


def body_lines() -> Iterator[str]:
    """Yield the lines of the dashboard's body, one for each widget. Names in `${...}` are the template's."""
    placed = [
        {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "width": WIDTH, "height": HEIGHT, **widget}
        for number, widget in enumerate(widgets())
    ]
    yield '{"widgets":['
    for number, widget in enumerate(placed, start=1):
        # A number of the stack stands without quotes.
        text = json.dumps(widget, separators=(",", ":")).replace('"${BehindSeconds}"', "${BehindSeconds}")
        yield f"{text}{',' if number < len(placed) else ''}"
    yield "]}"


def with_dashboard(template: str) -> str:
    """Return the template's text with the dashboard as it is now."""
    made = "".join(f"        {line}\n" for line in body_lines())
    found = re.compile(
        r"(^      DashboardBody: !Sub \| # of tools\.stack_dashboard\n)((?:^        .*\n)*)", re.MULTILINE
    )
    text, count = found.subn(lambda match: match[1] + made, template)
    if count != 1:
        raise ValueError("the template has no place for the dashboard")
    return text


HEAD: Final = """\
# The dashboard. Made by `python -m tools.stack_dashboard`, as that of infra/template.yaml. Change it there.

resource "aws_cloudwatch_dashboard" "keyturn" {
  count          = var.dashboard ? 1 : 0
  dashboard_name = "${var.name}-${local.region}"

  dashboard_body = <<-JSON
"""


def terraform_text() -> str:
    """Return the text of the module's file."""
    body = "".join(f"    {_in_terraform(line)}\n" for line in body_lines())
    return f"{HEAD}{body}  JSON\n}}\n"


def _in_terraform(line: str) -> str:
    names = {**REFERENCES, "AWS::StackName": "var.name"}
    return re.sub(r"\$\{([\w.:]+)\}", lambda name: "${" + names[name[1]] + "}", line)


def main(arguments: Sequence[str]) -> int:
    """Write both files, or compare them with `--check`. Return the exit code."""
    made = {TEMPLATE: with_dashboard(TEMPLATE.read_text("utf-8")), MODULE: terraform_text()}
    return write_or_check(made, "tools.stack_dashboard", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
