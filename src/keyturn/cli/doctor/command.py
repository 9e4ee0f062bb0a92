"""`keyturn doctor` finds what is missing or wrong between Secrets Manager and a reader, with its fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import click

from keyturn.aws.clients import region_of
from keyturn.aws.faults import fault_of
from keyturn.aws.unseen import Unseen
from keyturn.cli.account import Account, account_options, convergence_option
from keyturn.cli.doctor import convergence as reports
from keyturn.cli.doctor import events, network, reading, table
from keyturn.cli.doctor.finding import Check, Finding, Level, RefusedCallError, Subject, examined
from keyturn.cli.output import console, echo_json, json_option, table_of
from keyturn.cli.root import EXIT_NO, EXIT_UNANSWERED
from keyturn.runtime.host import SystemClock, environment

CHECKS: Mapping[str, Check] = {**reading.CHECKS, **table.CHECKS, **events.CHECKS}
"""Name -> check, in the order in which the findings are shown."""


@click.command
@click.option(
    "--secret", "secrets", multiple=True, help="Check whether this role may read this secret. Repeatable."
)
@convergence_option("check whether it can be used.")
@json_option
@account_options
@click.pass_context
def command(
    ctx: click.Context, account: Account, *, secrets: Sequence[str], convergence: str | None, as_json: bool
) -> None:
    """Find what is missing or wrong, and say what to do about it.

    Run it with the role of a reader to check that role's rights, and as an operator to check the rest. What a
    role may not look at is reported as unknown. The command changes nothing and reads no secret's value.
    Exits with 1 if anything is wrong, else with 3 if anything is unknown.
    """
    aws = Clients(account)
    region = region_of(aws.client("dynamodb")) or ""
    around = network.Surroundings(environment(), aws.endpoint, network.addresses)
    subject = Subject(aws, account.table, region, SystemClock.wall, secrets, convergence)
    findings = diagnose(subject, about_network=network.checks_of(around))
    if as_json:
        echo_json({"well": not exit_code(findings), "findings": [document(one) for one in findings]})
    else:
        show(findings)
    ctx.exit(exit_code(findings))


def diagnose(subject: Subject, *, about_network: Mapping[str, Check] | None = None) -> list[Finding]:
    """Run each check and return its finding."""
    about_secrets = {f"secret {one}": reading.may_read(one) for one in subject.secrets}
    about_reports = reports.checks_of(subject.convergence) if subject.convergence is not None else {}
    checks = {**(about_network or {}), **CHECKS, **about_reports, **about_secrets}
    return [examined(name, check, subject) for name, check in checks.items()]


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the exit code of the worst finding."""
    levels = {one.level for one in findings}
    if Level.WRONG in levels:
        return EXIT_NO
    return EXIT_UNANSWERED if Level.UNKNOWN in levels else 0


def document(finding: Finding) -> dict[str, str]:
    """Return a finding for JSON."""
    return {
        "check": finding.check,
        "level": finding.level.value,
        "what": finding.what,
        "fix": finding.fix,
    }


def show(findings: Sequence[Finding]) -> None:
    """Print the findings as a table."""
    rows = [(one.level.value, one.check, one.what, one.fix) for one in findings]
    console().print(table_of("", ("", "check", "finding", "what to do"), rows))


@dataclass(frozen=True, slots=True)
class Clients:
    """Calls AWS through botocore and tries each call once, so that an unreachable endpoint is found soon."""

    account: Account
    made: dict[str, object] = field(default_factory=dict)

    def client(self, service: str) -> object:
        """Return the client of this service. It is made at the first call."""
        if service not in self.made:
            self.made[service] = self.account.client(service, attempts=1)
        return self.made[service]

    def endpoint(self, service: str) -> str:
        """Return the URL that this service is called by."""
        url: object = getattr(getattr(self.client(service), "meta", None), "endpoint_url", "")
        return str(url)

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        """Call an operation. See `Aws.call`."""
        from botocore import xform_name

        client = self.client(service)
        method: object = getattr(client, xform_name(operation))
        if not callable(method):
            raise TypeError(f"{service} has no {operation}")
        try:
            with Unseen():
                answer: Mapping[str, object] = method(**request)
        except Exception as error:
            raise RefusedCallError(
                f"{service}:{operation}", fault_of(error), self.endpoint(service)
            ) from error
        return answer
