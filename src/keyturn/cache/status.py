"""The answer of `SecretCache.status()`: plain values, and no value of a secret."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.cache.allowance import PROCESS_READS_MAX
from keyturn.cache.copies import Copies
from keyturn.cache.held import HeldSecret, HeldStage
from keyturn.cache.limits import Limits
from keyturn.cache.service import Service
from keyturn.cache.table_view import TableView, held_bound_s, uncovered_because
from keyturn.cache.tables import Tables, WatchedTable
from keyturn.model.instant import Instant


@dataclass(frozen=True, slots=True)
class HeldStatus:
    """One stage of one secret as this process holds it.

    `age_s`: since the read that last confirmed it was begun. `covered`: whether the marker table
    would tell of a change, and `why` (not). `bound_s`: how old what is served can be at worst.
    `last_error`: why the last refresh failed, None after a success.
    """

    secret_ids: tuple[str, ...]
    arn: str
    name: str
    stage: str
    version_id: str
    age_s: float
    covered: bool
    why: str
    bound_s: float
    last_error: str | None


@dataclass(frozen=True, slots=True)
class TableStatus:
    """The marker table as this process last saw it; of several tables, what is worst of any of them.

    `checked_age_s`: since the last good check; `swept_age_s`: how far the sweep's word was behind
    at that check. None: never, or no table is used. `name`: which of several tables this is about, else "".
    """

    used: bool
    checked_age_s: float | None
    swept_age_s: float | None
    trouble: str | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """This process's reports to the convergence table.

    `environment`: the id under which it reports; `reported_age_s`: since its last good report. None:
    never, or no such table is used.
    """

    used: bool = False
    environment: str | None = None
    reported_age_s: float | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class RestStatus:
    """A service that does not answer in time, so that no caller with a copy waits for it.

    `service`: "Secrets Manager", "Parameter Store" or "marker table", in a cache with several tables with the
    place or the table's ARN.
    `since_s`: seconds since it was first found not to answer. `failures`: probes that failed since then.
    """

    service: str
    since_s: float
    failures: int


@dataclass(frozen=True, slots=True)
class AllowanceStatus:
    """What markers have cost this process, and may still cost it.

    `in_vain`: reads that markers caused and that changed nothing. `left`: how many more all markers together
    can cause now; one comes back each second. `held_off`: the keys of the markers that are not followed now,
    since they have used up their own share. Each of several tables has reads of its own: `left` is that of
    the table with the fewest.
    """

    in_vain: int = 0
    left: float = PROCESS_READS_MAX
    held_off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """Everything held, by ARN and stage, the tables, and the services that do not answer in time.

    Of a parameter, the stage is AWSCURRENT for the latest version, else the label or number. `evictions`
    counts the secrets and parameters that were forgotten to make room for others (`Limits.max_secrets`).
    `allowance` is about the reads that markers can cause. `tables` has each table of a cache with several.
    """

    secrets: tuple[HeldStatus, ...]
    table: TableStatus
    parameters: tuple[HeldStatus, ...] = ()
    reports: ReportStatus = ReportStatus()
    resting: tuple[RestStatus, ...] = ()
    evictions: int = 0
    allowance: AllowanceStatus = AllowanceStatus()
    tables: tuple[TableStatus, ...] = ()


def allowance_status(tables: Tables, now: Instant) -> AllowanceStatus:
    """Return what markers have cost and may still cost."""
    now_s, all_of_them = now.monotonic_s, [table.watch.allowance for table in tables]
    return AllowanceStatus(
        sum(one.in_vain for one in all_of_them),
        min((one.left(now_s) for one in all_of_them), default=PROCESS_READS_MAX),
        tuple(key for one in all_of_them for key in one.held_off(now_s)),
    )


def rest_status(service: Service, now: Instant) -> RestStatus | None:
    """Return what is said of a service that does not answer in time; None for one that does."""
    rest = service.rest
    return RestStatus(service.name, rest.since.age_s(now), rest.failures) if rest is not None else None


def table_status(tables: Tables, now: Instant) -> TableStatus:
    """Return what is said of all tables together."""
    each = [_table_status(table, now) for table in tables]
    # A table with nothing held is not read: it has no age and no trouble.
    return TableStatus(
        used=bool(each),
        checked_age_s=max((one.checked_age_s for one in each if one.checked_age_s is not None), default=None),
        swept_age_s=max((one.swept_age_s for one in each if one.swept_age_s is not None), default=None),
        trouble="; ".join(one.trouble for one in each if one.trouble is not None) or None,
    )


def tables_status(tables: Tables, now: Instant) -> tuple[TableStatus, ...]:
    """Return what is said of each of several tables; nothing of a single one."""
    return tuple(_table_status(table, now) for table in tables) if len(tables) > 1 else ()


def _table_status(table: WatchedTable, now: Instant) -> TableStatus:
    view = table.watch.view
    assurance = view.assurance
    return TableStatus(
        used=True,
        checked_age_s=assurance.checked.age_s(now) if assurance is not None else None,
        swept_age_s=assurance.head.swept_age_s if assurance is not None else None,
        trouble=view.trouble,
        name=table.name,
    )


def status_of(copies: Copies) -> tuple[HeldStatus, ...]:
    """Return what is said of everything held, by ARN and stage."""
    with copies.lock:
        now, statuses = copies.now(), list[HeldStatus]()
        for secret, held in copies.holdings.held():
            view, rests = copies.tables.view(secret.key), copies.services.rests(secret.asks_by())
            statuses.append(held_status(secret, held, view, now, copies.limits, is_resting=rests))
    return tuple(sorted(statuses, key=lambda one: (one.arn, one.stage)))


def held_status(
    secret: HeldSecret,
    held: HeldStage,
    view: TableView,
    now: Instant,
    limits: Limits,
    *,
    is_resting: bool,
) -> HeldStatus:
    """Return what is said of one stage."""
    obstacle = uncovered_because(secret.key, held, view, now, limits)
    trouble = held.trouble
    return HeldStatus(
        secret_ids=tuple(sorted(secret.aliases)),
        arn=secret.arn,
        name=secret.name,
        stage=held.stage,
        version_id=held.version.version_id,
        age_s=held.confirmed.age_s(now),
        covered=obstacle is None,
        why=obstacle or "the marker agrees and the sweep is recent",
        bound_s=held_bound_s(secret.key, held, view, now, limits, is_resting=is_resting),
        last_error=f"{trouble.error.__name__}: {trouble.detail}" if trouble else None,
    )
