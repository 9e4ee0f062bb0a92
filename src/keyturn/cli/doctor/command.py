"""`keyturn doctor` finds what is missing or wrong between Secrets Manager and a reader, with its fix."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from keyturn.assembly import placed_table, roles_of
from keyturn.aws.clients import SECRETS_TIMEOUTS_S, ClientFactory, region_of
from keyturn.aws.faults import Fault, FaultKind, fault_of
from keyturn.aws.places import naming_clients, table_clients
from keyturn.aws.unseen import Unseen
from keyturn.cache.flights import Flight
from keyturn.cli.account import CONVERGENCE_OPTION, Account, account_options, convergence_option
from keyturn.cli.doctor import convergence as reports
from keyturn.cli.doctor import events, naming, network, others, reading, table
from keyturn.cli.doctor.finding import Cause, Check, Finding, Level, RefusedCallError, Subject, wrong
from keyturn.cli.doctor.running import WITHIN_S, findings_of, late
from keyturn.cli.doctor.signing_in import sign_in
from keyturn.cli.output import console, echo_json, json_option, table_of
from keyturn.cli.root import EXIT_NO, EXIT_UNANSWERED
from keyturn.errors import ConfigurationError
from keyturn.model.table_names import check_table, place_of_table
from keyturn.runtime.host import SystemClock, environment, known_marker_tables

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
    role may not look at, or what does not answer within 10 s, is reported as unknown. The command changes
    nothing and reads no secret's value. Exits with 1 if anything is wrong, else with 3 if anything is
    unknown.
    """
    if convergence:
        check_table(convergence, CONVERGENCE_OPTION)
    findings = examine(account, secrets, convergence)
    if as_json:
        echo_json({"well": not exit_code(findings), "findings": [document(one) for one in findings]})
    else:
        show(findings)
    ctx.exit(exit_code(findings))


def _others(account: Account, factory: ClientFactory) -> Mapping[str, Check]:
    """Return a check of each table of other accounts and Regions that the environment names."""
    roles = roles_of(None)
    clients, naming = (make(None, account.region, factory, roles) for make in (table_clients, naming_clients))
    tables = [table for table in known_marker_tables() if table != account.table]
    return others.checks_of({table: placed_table(table, clients, naming) for table in tables})


def examine(account: Account, secrets: Sequence[str], convergence: str | None) -> list[Finding]:
    """Return the finding of each check; the only finding if no client can be made, or not in time."""
    place = place_of_table(account.table)
    # Only a parameter that names the table is read in Systems Manager, where its ARN says that it is.
    aws = Clients(account.region, {"ssm": place.region} if place is not None else {})
    begun_s = SystemClock.monotonic()
    # In a thread, since botocore asks for the credentials meanwhile, and their source may not answer.
    first = Flight("keyturn-doctor-clients", lambda: aws.client("dynamodb"))
    first.begin()
    if not first.wait(WITHIN_S):
        return [late("clients", "the source of the credentials", WITHIN_S, _CHECK_CREDENTIALS)]
    try:
        region = region_of(first.outcome()) or ""
    except ConfigurationError as error:
        what, _, fix = str(error).partition("; ")
        return [wrong("clients", Cause.NO_CLIENT, what, fix)]
    # Without a standard input, as under some supervisors, Python has None there.
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            # Here, since a thread that is left behind while it asks leaves the terminal without an echo.
            has_asked = sign_in(aws.factory)
        except Exception as error:  # noqa: BLE001 # whatever botocore raises
            fault = fault_of(error)
            what, fix = f"no credentials by the MFA code: {fault}", fault.advice or _CHECK_CREDENTIALS
            return [wrong("clients", Cause.NO_CREDENTIALS, what, fix)]
        begun_s = SystemClock.monotonic() if has_asked else begun_s
    around = network.Surroundings(environment(), aws.endpoint, network.addresses)
    subject = Subject(aws, account.table, region, SystemClock.wall, secrets, convergence)
    return diagnose(
        subject,
        about_network=network.checks_of(around),
        about_tables=_others(account, aws.factory),
        begun_s=begun_s,
    )


_CHECK_CREDENTIALS: Final = (
    "check the profile's credential_process, or the endpoint of the role's credentials"
)


def diagnose(
    subject: Subject,
    *,
    about_network: Mapping[str, Check] | None = None,
    about_tables: Mapping[str, Check] | None = None,
    within_s: float = WITHIN_S,
    begun_s: float | None = None,
) -> list[Finding]:
    """Run all checks and return the finding of each. `about_tables` are of other places.

    `begun_s` is when the time `within_s` began; None for now.
    """
    about_secrets = {f"secret {one}": reading.may_read(one) for one in subject.secrets}
    about_reports = reports.checks_of(subject.convergence) if subject.convergence is not None else {}
    by_name = naming.checks_by_name(subject.table, CHECKS)
    checks = {**(about_network or {}), **by_name, **about_reports, **(about_tables or {}), **about_secrets}
    return findings_of(checks, subject, SystemClock.monotonic, within_s, begun_s)


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
        "cause": finding.cause.value if finding.cause is not None else "",
    }


COLUMNS: Mapping[str, str] = {
    "level": "",
    "check": "check",
    "what": "finding",
    "fix": "what to do",
    "cause": "cause",
}
"""Field of the document -> heading of its column."""


def show(findings: Sequence[Finding]) -> None:
    """Print the findings as a table."""
    rows = [tuple(document(one)[name] for name in COLUMNS) for one in findings]
    console().print(table_of("", tuple(COLUMNS.values()), rows))
    if any(one.cause is not None for one in findings):
        console().print("keyturn help runbook has a section on each cause")


@dataclass(frozen=True, slots=True)
class Clients:
    """Calls AWS through botocore and tries each call once, so that an unreachable endpoint is found soon.

    `regions` are those of the services that are not called in `region`.
    """

    region: str | None
    regions: Mapping[str, str] = field(default_factory=dict)
    factory: ClientFactory = field(default_factory=ClientFactory)
    made: dict[str, object] = field(default_factory=dict)

    def client(self, service: str) -> object:
        """Return the client of this service. It is made at the first call."""
        if service not in self.made:
            region = self.regions.get(service, self.region)
            client = self.factory.make(service, SECRETS_TIMEOUTS_S, region, attempts=1)
            self.made.setdefault(service, client)
        return self.made[service]

    def endpoint(self, service: str) -> str:
        """Return the URL that this service is called by."""
        url: object = getattr(getattr(self.client(service), "meta", None), "endpoint_url", "")
        return str(url)

    def call(self, service: str, operation: str, **request: object) -> Mapping[str, object]:
        """Call an operation. See `Aws.call`."""
        from botocore import xform_name

        client = self._client_or_refusal(service, operation)
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

    def _client_or_refusal(self, service: str, operation: str) -> object:
        try:
            return self.client(service)
        except ConfigurationError as error:
            fault = Fault(FaultKind.FOREIGN, type(error).__name__, str(error))
            raise RefusedCallError(f"{service}:{operation}", fault) from error
