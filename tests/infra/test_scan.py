"""tools/scan.py: nothing unsafe goes unnoticed, and nothing is explained in vain."""

from __future__ import annotations

import json
import re

from tools.scan import FINDINGS, INFRA, Finding, explained, found, trouble

REPORT = json.dumps(
    [
        {
            "results": {
                "failed_checks": [
                    {"check_id": "C_1", "check_name": "one", "resource": "module.keyturn.aws_sqs_queue.q[0]"},
                    {"check_id": "C_2", "check_name": "two", "resource": "AWS::SQS::Queue.Q"},
                ]
            }
        }
    ]
)
REASONS = """
[C_1]
finds = "a queue"
because = "it is none"
resources = ["aws_sqs_queue.q", "aws_sqs_queue.gone"]
"""


def test_a_finding_without_a_reason_and_a_reason_without_a_finding_are_told() -> None:
    """By the resource, wherever the module is used from; an explained finding is not."""
    assert Finding("C_1", "aws_sqs_queue.q") in found(REPORT)
    unexplained, in_vain = trouble(found(REPORT), explained(REASONS))
    assert "AWS::SQS::Queue.Q: C_2: two" == unexplained
    assert in_vain.startswith("aws_sqs_queue.gone: C_1: nothing finds this")


def test_what_is_explained_is_there() -> None:
    """Each reason is a sentence, of resources that the templates and modules have."""
    sources = "\n".join(
        file.read_text("utf-8") for kind in ("*.yaml", "*.tf") for file in sorted(INFRA.rglob(kind))
    )
    reasons = explained(FINDINGS.read_text("utf-8"))
    assert len(reasons) > 20
    for (_, resource), table in reasons.items():
        kind, _, name = resource.rpartition(".")
        assert re.search(rf'^  {name}:\n    Type: {kind}$|^resource "{kind}" "{name}"', sources, re.MULTILINE)
        assert table["because"].endswith(".")
