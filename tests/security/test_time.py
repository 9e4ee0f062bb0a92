"""Time is bounded by length: twice as long a text takes about twice as long, whatever is in it.

Every regular expression of keyturn is found in its sources and tried with texts that are made for it; so is
everything that reads what somebody else may have written.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from botocore.exceptions import ClientError

from keyturn import is_refused
from keyturn.aws.catalog import Tag
from keyturn.aws.faults import secret_error
from keyturn.errors import KeyturnError
from keyturn.login.refusal import TEXT_LENGTH_MAX, Refusal
from keyturn.login.refusals import REFUSALS
from keyturn.markers.schema import head_of, marker_of
from keyturn.model.names import Arn, checked_secret_id, is_secret_arn, parameter_id, parameter_path
from keyturn.model.versions import SecretVersion
from keyturn.policies.resources import Place, parameter_resource, secret_resource
from keyturn.serve.allowing import AllowList
from rotation_listener.events import parse
from rotation_listener.listener import Settings
from tools.extras import ROOT

PLACE: Final = Place("eu-west-1", "111122223333")
SIZES: Final = (12_500, 25_000, 50_000)
"""With 50,000 characters, quadratic work of 8 ps a step takes longer than `ENOUGH_S`: nothing is as fast."""

MANY: Final = 3.0
"""Of linear work twice as much takes twice as long, of quadratic work four times."""

ENOUGH_S: Final = 0.02
"""Below this nothing is told apart from noise, and a text of the longest size has taken no time."""

CALLS: Final = frozenset(
    {"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"}
)


def folders() -> Iterator[Path]:
    """Every source that runs at a user's."""
    for folder in (ROOT / "src" / "keyturn", ROOT / "rotation_listener"):
        yield from sorted(folder.rglob("*.py"))


@dataclass(frozen=True)
class Use:
    """One place where a regular expression is used: its text, and the method."""

    place: str
    pattern: re.Pattern[str] | re.Pattern[bytes]
    method: str

    @property
    def text(self) -> str:
        """The expression itself."""
        said = self.pattern.pattern
        return said if isinstance(said, str) else said.decode("latin-1")

    def work(self) -> Callable[[str], object]:
        """Do with a text what the place does; an expression over bytes sees it as UTF-8."""
        method: Callable[..., object] = getattr(self.pattern, self.method)
        given: Callable[[str], object] = str.encode if isinstance(self.pattern.pattern, bytes) else str
        if self.method.startswith("sub"):
            return lambda text: method("x", given(text))
        return lambda text: method(given(text))


def module_of(file: Path) -> str:
    """The module's name."""
    base = ROOT / "src" if file.is_relative_to(ROOT / "src") else ROOT
    return ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def uses() -> Iterator[Use]:
    """Every use of a compiled expression that has a name, in the module that compiles it."""
    for file in folders():
        tree = ast.parse(file.read_text("utf-8"))
        for name in compiled(tree):
            pattern = getattr(importlib.import_module(module_of(file)), name)
            for method in sorted(methods(tree, name)):
                yield Use(f"{file.relative_to(ROOT)}:{name}.{method}", pattern, method)


def compiled(tree: ast.AST) -> Iterator[str]:
    """The names that the expressions of a module have."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_re(value):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if is_re(value):
                yield name


def is_re(node: ast.AST) -> bool:
    """Whether this calls a function of `re` that takes an expression."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)):
            return name in CALLS
    return False


def methods(tree: ast.AST, name: str) -> set[str]:
    """What is called on the expression; one that is handed on counts as matched and as searched."""
    direct = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }
    return direct or {"fullmatch", "search"}


USES: Final = tuple(uses())
OF_REFUSALS: Final = tuple(
    Use(f"login/refusals.py:{one.server}", re.compile(text), "search")
    for one in REFUSALS
    for text in (one.text, one.unless)
    if text is not None
)

ELSEWHERE: Final[Mapping[str, int]] = {
    "src/keyturn/cdk.py": 1,
    "src/keyturn/login/refusal.py": 2,
    "src/keyturn/serve/allowing.py": 1,
    "src/keyturn/settings/environment.py": 1,
}
"""Expressions without a name, by file.

They are of the template's parameters, of the refusals' table, of `--allow` and of pydantic's own messages.
"""


def test_every_expression_is_found() -> None:
    """A new one without a name would be tried by nobody."""
    found = {
        str(file.relative_to(ROOT)): number
        for file in folders()
        if (
            number := sum(map(is_re, ast.walk(tree := ast.parse(file.read_text("utf-8")))))
            - len(list(compiled(tree)))
        )
    }
    assert ELSEWHERE == found
    assert len(USES) >= 8


def nasty(pattern: str, length: int) -> Iterator[str]:
    """Texts that make a matcher go back: what the expression begins with, again and again, and then stops."""
    words = [word for word in re.findall(r"[A-Za-z0-9 ]{2,}", pattern) if not word.isspace()]
    parts = [*words, *("".join(words[:number]) for number in range(2, len(words) + 1))]
    parts += [*"aA0/-.:=_* \n(", "a/", "aA", "a-", "=a", "a:", "Error", "arn:", "${", "\\", "á"]
    for part in dict.fromkeys(parts):
        yield (part * (length // len(part) + 1))[:length]
        yield (part * (length // len(part) + 1))[: length - 1] + "\0"


def taken_s(work: Callable[[], object]) -> float:
    """The shortest of three tries, in CPU time of this thread."""
    tries = []
    for _ in range(3):
        begun_s = time.thread_time()
        work()
        tries.append(time.thread_time() - begun_s)
        if tries[-1] < ENOUGH_S:
            break
    return min(tries)


def assert_linear(work: Callable[[str], object], texts: Callable[[int], Iterator[str]]) -> None:
    """The work for the longest text of each kind took no time, or twice as long as for half of it."""
    for short, middle, long in zip(*map(texts, SIZES), strict=True):
        last_s = taken_s(lambda text=long: work(text))  # type: ignore[misc] # mypy knows no default here
        if last_s < ENOUGH_S:
            continue
        before_s = taken_s(lambda text=middle: work(text))  # type: ignore[misc]
        first_s = taken_s(lambda text=short: work(text))  # type: ignore[misc]
        times = f"{first_s:.3f}, {before_s:.3f}, {last_s:.3f} s for {short[:40]!r}..."
        assert last_s < MANY * max(before_s, ENOUGH_S / 2), times
        assert last_s < MANY**2 * max(first_s, ENOUGH_S / 4), times


@pytest.mark.parametrize("use", [*USES, *OF_REFUSALS], ids=lambda use: use.place)
def test_every_expression_is_linear(use: Use) -> None:
    """Also without the limits on length that stand before it."""
    assert_linear(use.work(), lambda length: nasty(use.text, length))


def refused_by(package: str) -> Callable[[str], object]:
    """Ask about an error with this text whose class is of a driver."""
    kind = type("Error", (Exception,), {"__module__": package})
    return lambda text: is_refused(kind(text))


def attempted(work: Callable[[str], object]) -> Callable[[str], object]:
    """Do it, and take keyturn's refusal of the text for an answer."""

    def tried(text: str) -> object:
        try:
            return work(text)
        except KeyturnError as error:
            return str(error)

    return tried


def aws_error(text: str) -> object:
    """What becomes of an answer of AWS with this text at each place."""
    answer = {"Error": {"Code": text, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    known = {"Error": {"Code": "AccessDeniedException", "Message": text}}
    for one in (answer, known):
        secret_error(ClientError(one, "GetSecretValue"), "prod/db")  # type: ignore[arg-type] # of any shape
    return secret_error(RuntimeError(text), "prod/db")


def event(text: str) -> object:
    """What the listener reads from events with this text at each place."""
    details = (
        {"name": text, "labelUpdated": text, "versionId": text},
        {"eventName": "PutSecretValue", "requestParameters": {"secretId": text, "clientRequestToken": text}},
        {"name": text, "operation": text, "type": text},
    )
    kinds = ("Secret Label Updated", "AWS API Call via CloudTrail", "Parameter Store Change", text)
    common = {"id": text, "account": text, "region": text, "time": text, "resources": [text]}
    events = [{**common, "detail-type": kind, "detail": one} for kind in kinds for one in details]
    return [parse(one) for one in (*events, {"keyturn": "announce", "secret_id": text, "step": text})]


def item(text: str) -> object:
    """What a reader makes of items of the table with this text at each place."""
    texts = {name: {"S": text} for name in ("pk", "arn", "epoch", "token", "step", "reason")}
    numbers = {
        name: {"N": text} for name in ("schema", "sequence", "counter", "swept_as_of_s", "changed_at_s")
    }
    deep = {"stages": {"M": {text: {"S": text}}}, "left": {"L": [{"S": text}]}}
    return marker_of({**texts, **numbers, **deep}), head_of({**texts, **numbers}, 0.0)


def value(text: str) -> SecretVersion:
    """A secret whose value is this text."""
    return SecretVersion("x", "arn:x", "x", "v1", frozenset({"AWSCURRENT"}), string=text)


def in_json(text: str) -> str:
    """A JSON object that has the text as a name and as a value."""
    return json.dumps({"password": text, text[:1000]: 1})


PARSERS: Final[Mapping[str, Callable[[str], object]]] = {
    "secret id": checked_secret_id,
    "secret ARN": is_secret_arn,
    "ARN": Arn.parse,
    "parameter": parameter_id,
    "path": parameter_path,
    "tag": Tag.of,
    "allow-list": AllowList(("prod/*a*b*0", "*/*", "arn:aws:*:secret:*-??????")).check_secret,
    "allow-list of parameters": AllowList(("/prod/*a*b*0", "a*a*a*a*a*z")).check_parameter_name,
    "policy's secret": lambda text: secret_resource(text, PLACE),
    "policy's parameter": lambda text: parameter_resource(text, PLACE),
    "answer of AWS": aws_error,
    "event": event,
    "item": item,
    "listener's settings": lambda text: Settings.of(
        {"KEYTURN_MARKER_TABLE": text, "KEYTURN_NAME_PREFIXES": text, "KEYTURN_SETTLE_S": text}
    ),
    "value that is JSON": lambda text: value(in_json(text)).json(),
    "value that is not": lambda text: value('{"a": ' + text.replace("[", "(")).json(),
    "fields": lambda text: value(json.dumps({"password": text})).fields(),
}
"""What reads texts that somebody else may have chosen."""

DRIVERS: Final = {"builtins"}.union(*(one.packages for one in REFUSALS))
QUICK: Final = frozenset({"builtins", "psycopg", "pymysql"})
"""Their errors are tried by `make test`, those of all other drivers by `make proofs`."""


def chosen(length: int) -> Iterator[str]:
    """Texts for every parser: those of all expressions, each once."""
    texts = (text for use in (*USES, *OF_REFUSALS) for text in nasty(use.text, length))
    return iter(tuple(dict.fromkeys(texts)))


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_reads_a_strangers_text_is_linear(name: str) -> None:
    """From the outside, with the limits on length that there are."""
    assert_linear(attempted(PARSERS[name]), chosen)


@pytest.mark.parametrize(
    "package",
    [pytest.param(one, marks=() if one in QUICK else pytest.mark.proof) for one in sorted(DRIVERS)],
)
def test_the_verdict_on_a_drivers_error_is_linear(package: str) -> None:
    """Whatever a server makes its driver say."""
    assert_linear(refused_by(package), chosen)


def test_a_wide_value_is_linear() -> None:
    """A JSON list of many numbers, and an object of many fields, within the limit of length."""

    def texts(length: int) -> Iterator[str]:
        yield json.dumps([1] * (length // 2), separators=(",", ":"))
        yield json.dumps({f"field{number}": "x" for number in range(length // 20)})

    assert_linear(attempted(lambda text: value(text).json()), texts)


def test_a_long_text_of_an_error_is_cut_before_it_is_looked_at() -> None:
    """A sign within the first 10,000 characters is seen, one behind them is not."""
    sign = "\nThis RDS proxy has no credentials for the role app"
    assert is_refused(psycopg.OperationalError("x" * (TEXT_LENGTH_MAX - len(sign)) + sign))
    assert not is_refused(psycopg.OperationalError("x" * TEXT_LENGTH_MAX + sign))
    long = psycopg.OperationalError("The password that was provided for the role " * 4_000)
    assert taken_s(lambda: is_refused(long)) < 0.2


def test_the_limit_holds_for_a_row_of_ones_own() -> None:
    """Also where a user's expression has no limit and takes time with the square of the text."""
    own = Refusal("FTP", text="530 .*wrong")
    assert taken_s(lambda: own.fits(Exception("530 " * 20_000))) < 0.3
    assert own.fits(Exception("530 is wrong"))
