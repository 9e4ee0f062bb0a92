"""EMF lines are what CloudWatch takes: few, within the limits, with the right numbers, without a value."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from aws_lambda_powertools.metrics import EphemeralMetrics

from keyturn import ConfigurationError, MarkerTableError, Metric, SecretCache, UnavailableError
from keyturn.metrics.emf import VALUES_MAX, EmfMetrics
from keyturn.testing.fakes import FakeClock
from tests.metrics.conftest import Measured
from tests.metrics.emf_rules import breaches
from tests.world import NAME

CANARY = "c4n4ry-Pa55w0rd"


@dataclass
class Output:
    """Where the lines go; each must be a line that CloudWatch takes."""

    lines: list[Mapping[str, object]] = field(default_factory=list)
    text: str = ""

    def __call__(self, line: str) -> None:
        assert [] == breaches(line)
        self.text += line
        self.lines.append(json.loads(line))

    def taken(self) -> list[Mapping[str, object]]:
        """The lines since, without what says how to read them."""
        lines, self.lines = self.lines, []
        return [{name: value for name, value in line.items() if name != "_aws"} for line in lines]


@dataclass
class Writer:
    """An `EmfMetrics` on a clock moved by hand."""

    by_secret: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    output: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        self.metrics = EmfMetrics(
            service="orders", by_secret=self.by_secret, output=self.output, clock=self.clock
        )


@pytest.fixture
def writer() -> Writer:
    """Metrics of the service `orders`."""
    return Writer()


def at(value: object, *path: str | int) -> object:
    """What is at this place of a line."""
    for step in path:
        value = value[step]  # type: ignore[index] # JSON
    return value


def values(lines: Sequence[Mapping[str, object]], name: str) -> list[float]:
    """Every value of one metric, oldest first."""
    found = [line[name] for line in lines if name in line]
    lists = [these if isinstance(these, list) else [these] for these in found]
    return [one for these in lists for one in these if isinstance(one, int | float)]


# The lines


def test_a_line_says_how_it_is_to_be_read(writer: Writer) -> None:
    """Namespace, dimension, each metric with its unit, and the time of the first measurement."""
    began_s = writer.clock.wall_s
    writer.metrics.record(Metric.REFUSALS, 1, secret=NAME)
    writer.clock.advance(7)
    writer.metrics.record(Metric.LAG_S, 1.5, secret=NAME)
    writer.metrics.flush()
    (line,) = writer.output.lines
    metrics = [{"Name": "Refusals", "Unit": "Count"}, {"Name": "Lag", "Unit": "Seconds"}]
    directive = {"Namespace": "keyturn", "Dimensions": [["service"]], "Metrics": metrics}
    assert {"Timestamp": int(began_s * 1000), "CloudWatchMetrics": [directive]} == line["_aws"]
    assert [{"service": "orders", "Refusals": 1, "Lag": 1.5}] == writer.output.taken()


def test_counts_are_summed_and_durations_kept(writer: Writer) -> None:
    """Of 30 counts one number, of 3 durations 3: percentiles are true."""
    for _ in range(30):
        writer.metrics.record(Metric.STALE_SERVED, 1)
    for took_s in (0.1, 0.2, 0.1234567):
        writer.metrics.record(Metric.READ_S, took_s)
    writer.metrics.flush()
    assert [
        {"service": "orders", "StaleServed": 30, "ReadTime": [0.1, 0.2, 0.123457]}
    ] == writer.output.taken()


@pytest.mark.parametrize("number", [1, 99, 100, 101, 250])
def test_no_line_has_more_values_than_the_format_allows(writer: Writer, number: int) -> None:
    """More than 100 durations are several lines; each value is in one of them, and a count in the first."""
    for one in range(number):
        writer.metrics.record(Metric.READ_S, one)
    writer.metrics.record(Metric.READS_FAILED, 1)
    writer.metrics.flush()
    lines = writer.output.taken()
    assert -(-number // VALUES_MAX) == len(lines)
    assert list(range(number)) == values(lines, "ReadTime")
    assert [True, *[False] * (len(lines) - 1)] == ["ReadsFailed" in line for line in lines]


def test_every_metric_at_its_limit_fits_in_a_line() -> None:
    """All metrics with 100 durations of the longest kind, and the longest name: far below the limit."""
    writer = Writer(by_secret=True)
    for metric in Metric:
        for _ in range(100):
            writer.metrics.record(metric, 123456.123456, secret="é" * 3000, stage="AWSPREVIOUS")
    writer.metrics.flush()
    (line,) = writer.output.lines
    assert len(json.dumps(line)) < 20_000
    assert "?" * 1024 == line["secret"]


def test_a_bridge_has_its_label_as_a_dimension(writer: Writer) -> None:
    """Three labels at most; the metric without it has the sum, since CloudWatch adds lines up."""
    for stage in ("AWSPENDING", "AWSCURRENT", "AWSPENDING"):
        writer.metrics.record(Metric.BRIDGES, 1, secret=NAME, stage=stage)
    writer.metrics.record(Metric.REFUSALS, 1, secret=NAME)
    writer.metrics.flush()
    sets = [at(line, "_aws", "CloudWatchMetrics", 0, "Dimensions") for line in writer.output.lines]
    assert [[["service"], ["service", "stage"]]] * 2 + [[["service"]]] == sets
    assert [
        {"service": "orders", "stage": "AWSPENDING", "Bridges": 2},
        {"service": "orders", "stage": "AWSCURRENT", "Bridges": 1},
        {"service": "orders", "Refusals": 1},
    ] == writer.output.taken()


def test_names_of_secrets_are_written_only_by_choice(writer: Writer) -> None:
    """By default no name is in a line; with `by_secret` each has a line, and adds up to the service's."""
    by_secret = Writer(by_secret=True)
    for one in (writer, by_secret):
        for name in (NAME, "prod/api", NAME, ""):
            one.metrics.record(Metric.INVALIDATIONS, 1, secret=name)
        one.metrics.flush()
    assert [{"service": "orders", "Invalidations": 4}] == writer.output.taken()
    sets = [at(line, "_aws", "CloudWatchMetrics", 0, "Dimensions") for line in by_secret.output.lines]
    assert [[["service"], ["service", "secret"]]] * 2 + [[["service"]]] == sets
    assert [(NAME, 2), ("prod/api", 1), (None, 1)] == [
        (line.get("secret"), line["Invalidations"]) for line in by_secret.output.taken()
    ]


def test_powertools_writes_lines_of_the_same_form(writer: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    """The rules take what AWS's own library writes, and ours differs in the time alone."""
    theirs = EphemeralMetrics(namespace="keyturn", service="orders")
    theirs.add_metric(name="ReadTime", unit="Seconds", value=0.1)
    theirs.add_metric(name="ReadTime", unit="Seconds", value=0.2)
    theirs.flush_metrics()
    text = capsys.readouterr().out.strip()
    assert [] == breaches(text)
    for took_s in (0.1, 0.2):
        writer.metrics.record(Metric.READ_S, took_s)
    writer.metrics.flush()
    line, expected = writer.output.lines[0], json.loads(text)
    expected["_aws"]["Timestamp"] = at(line, "_aws", "Timestamp")
    assert expected == line


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        ({"_aws": {}}, "no CloudWatchMetrics"),
        ({"_aws": None}, "no _aws"),
        ({"service": ""}, "dimension service is ''"),
        ({"service": "é"}, "dimension service is not ASCII"),
        ({"service": 1}, "dimension service is 1"),
        ({"Lag": "1"}, "Lag is no number"),
        ({"Lag": []}, "Lag has 0 values"),
        ({"Lag": [1.0] * 101}, "Lag has 101 values"),
        ({"Lag": {"Values": [1]}}, "Lag is no number"),
        ({"Lag": float("inf")}, "not JSON: JSON has no Infinity"),
        ({"more": "x" * 300_000}, "the line is too long"),
    ],
)
def test_a_breach_is_seen(change: dict[str, object], breach: str) -> None:
    """Each rule is a rule: a line that breaks it is found out."""
    directive = {"Namespace": "n", "Dimensions": [["service"]], "Metrics": [{"Name": "Lag"}]}
    metadata = {"Timestamp": 1_790_000_000_000, "CloudWatchMetrics": [directive]}
    good = {"_aws": metadata, "service": "orders", "Lag": 1}
    assert [] == breaches(json.dumps(good))
    assert breach in breaches(json.dumps({**good, **change}))


# When they are written


def test_at_most_one_line_an_interval(writer: Writer) -> None:
    """A measurement a second for ten minutes: one line a minute, each with its own 60."""
    for _ in range(600):
        writer.metrics.record(Metric.CHECK_S, 0.01)
        writer.clock.advance(1)
    assert [60] * 9 == [len(values([line], "CheckTime")) for line in writer.output.taken()]
    writer.metrics.flush()
    assert [60] == [len(values([line], "CheckTime")) for line in writer.output.taken()]


def test_a_flush_without_measurements_writes_nothing(writer: Writer) -> None:
    """Neither before the first nor after the last, and what was written is not written again."""
    writer.metrics.flush()
    writer.metrics.record(Metric.CHECK_S, 1)
    writer.metrics.flush()
    writer.metrics.flush()
    assert [{"service": "orders", "CheckTime": 1}] == writer.output.taken()


def test_what_was_gathered_before_a_freeze_keeps_its_time(writer: Writer) -> None:
    """The first measurement an hour later writes the old ones by their own time, and begins anew."""
    began_s = writer.clock.wall_s
    writer.metrics.record(Metric.CHECK_S, 1)
    writer.clock.freeze(3600)
    writer.metrics.record(Metric.CHECK_S, 2)
    (line,) = writer.output.lines
    assert (int(began_s * 1000), 1) == (at(line, "_aws", "Timestamp"), line["CheckTime"])
    writer.metrics.flush()
    assert int((began_s + 3600) * 1000) == at(writer.output.lines[1], "_aws", "Timestamp")


def test_a_wall_clock_that_is_set_back_ends_the_interval(writer: Writer) -> None:
    """A line is written too early rather than an hour too late."""
    writer.metrics.record(Metric.CHECK_S, 1)
    writer.clock.step(-3600)
    writer.metrics.record(Metric.CHECK_S, 2)
    assert [{"service": "orders", "CheckTime": 1}] == writer.output.taken()


def test_threads_lose_nothing(writer: Writer) -> None:
    """8 threads of 2,000 measurements each, with flushes in between: every one is in one line."""

    def measure(_: int) -> None:
        for number in range(2000):
            writer.metrics.record(Metric.REFUSALS, 1)
            writer.metrics.record(Metric.READ_S, 0.5)
            if not number % 100:
                writer.metrics.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(measure, range(8)))
    writer.metrics.flush()
    lines = writer.output.taken()
    assert 16_000 == sum(values(lines, "Refusals"))
    assert 16_000 == len(values(lines, "ReadTime"))


class HeldUpClock(FakeClock):
    """A clock that keeps every thread but the main one waiting, which is in the middle of a measurement."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = threading.Event(), threading.Event()

    def wall(self) -> float:
        if threading.current_thread() is not threading.main_thread():
            self.asked.set()
            assert self.gate.wait(20)
        return super().wall()


def test_a_child_begins_with_nothing() -> None:
    """Forked while another thread holds the lock: the child can measure, and writes only its own."""
    clock = HeldUpClock()
    writer = Writer(clock=clock)
    writer.metrics.record(Metric.REFUSALS, 1)
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(writer.metrics.record, Metric.REFUSALS, 1)
        assert clock.asked.wait(20)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            writer.metrics.record(Metric.LOGINS_FAILED, 1)
            writer.metrics.flush()
            os._exit(0 if writer.output.taken() == [{"service": "orders", "LoginsFailed": 1}] else 1)
        clock.gate.set()
        holding.result(20)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    writer.metrics.flush()
    assert [{"service": "orders", "Refusals": 2}] == writer.output.taken()


def test_a_snapshot_is_made_after_a_flush(writer: Writer) -> None:
    """What was measured in the INIT of a SnapStart function is written once, not by each clone."""
    writer.metrics.record(Metric.READ_S, 1)
    writer.metrics.forget()
    writer.metrics.forget()
    assert [{"service": "orders", "ReadTime": 1}] == writer.output.taken()


# Where from, where to


def test_the_service_is_the_function_and_the_output_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In Lambda no argument is needed: one line on the standard output."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders-api")
    metrics = EmfMetrics()
    metrics.record(Metric.REFUSALS, 1)
    metrics.flush()
    (line,) = capsys.readouterr().out.splitlines()
    assert [] == breaches(line)
    assert "orders-api" == json.loads(line)["service"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "AWS_LAMBDA_FUNCTION_NAME"),
        ({"service": " "}, "service"),
        ({"service": "s", "namespace": ""}, "namespace"),
        ({"service": "s", "namespace": ":n"}, "namespace"),
        ({"service": "s", "namespace": "n" * 256}, "namespace"),
        ({"service": "s", "flush_interval_s": 0}, "flush_interval_s"),
        ({"service": "s", "flush_interval_s": float("nan")}, "flush_interval_s"),
    ],
)
def test_what_cannot_work_is_an_error(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], words: str
) -> None:
    """Each wrong argument is named."""
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    with pytest.raises(ConfigurationError, match=words):
        EmfMetrics(**arguments)  # type: ignore[arg-type] # wrong ones


def test_a_life_of_a_cache_in_lines_without_a_value(measured: Measured) -> None:
    """Rotation, bridge, refusal, forgery, stale copy: all metrics but one come up, the canary in no line."""
    world, output = measured.world, Output()
    metrics = EmfMetrics(service="orders", by_secret=True, output=output, clock=world.clock)
    cache = measured.cache = measured.made(metrics)
    world.secrets.put(NAME, CANARY, "v2")
    measured.accepts = {CANARY}
    world.mark()
    measured.login()
    world.secrets.put(NAME, CANARY + "3", "v3", "AWSPENDING")
    measured.accepts = {CANARY + "3"}
    measured.after(5)
    measured.login()
    world.rotate("v4", CANARY + "4")
    measured.after(5).get(NAME)
    for number in range(100):
        world.table.set(world.key, world.arn, {"AWSCURRENT": f"forged-{number}"})
        measured.after(5).get(NAME)
    world.secrets.fail = UnavailableError
    cache.invalidate(NAME)
    cache.get(NAME)
    world.table.fail = lambda: MarkerTableError("markers", "throttled")
    measured.after(5).get(NAME)
    metrics.flush()
    names = {name for line in output.taken() for name in line}
    of_others = {"LoginsFailed", "Retirements", "RetirementsHeld"}
    assert {metric.value for metric in Metric} - names == of_others
    assert CANARY not in output.text


def test_it_is_a_hook_that_a_cache_takes(measured: Measured) -> None:
    """Half an hour of a busy cache: a line a minute, and the checks of that time in them."""
    output = Output()
    metrics = EmfMetrics(service="orders", output=output, clock=measured.world.clock)
    cache: SecretCache = measured.made(metrics)
    measured.world.mark()
    cache.get(NAME)
    measured.world.pass_time(cache, 1800, step_s=1, sweep=True)
    metrics.flush()
    lines = output.taken()
    assert 30 <= len(lines) <= 31
    assert 360 == len(values(lines, "CheckTime"))
