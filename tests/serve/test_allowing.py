"""The list of what may be asked for: names and ARNs, of secrets and parameters."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from keyturn import Peers, SecretCache
from keyturn.errors import AccessDeniedError, ConfigurationError
from keyturn.model.parameter import Parameter
from keyturn.serve.allowing import AllowList
from tests.serve.endpoint import Endpoint
from tests.world import NAME, World

ARN = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"


def answers(endpoint: Endpoint, secret_id: str) -> set[int]:
    """The statuses of one id, by query and by path."""
    encoded = quote(secret_id, safe="")
    targets = (f"/secretsmanager/get?secretId={encoded}", f"/v1/{encoded}")
    return {endpoint.ask(target).status_code for target in targets}


@pytest.mark.parametrize(
    "pattern", [NAME, "prod/*", "*", "p*d/d?", "arn:*", "arn:aws:secretsmanager:*:secret:prod/*"]
)
def test_what_is_named_is_served(pattern: str) -> None:
    """By its name and by its ARN."""
    endpoint = Endpoint(allow=("other", pattern))
    assert {200} == answers(endpoint, NAME) | answers(endpoint, endpoint.world.arn)


@pytest.mark.parametrize(
    "pattern", ["prod", "prod/", "PROD/*", "prod/?", "[p]rod/db", "*/db/*", ARN + "other*", "d*"]
)
def test_what_is_not_named_is_not_served(pattern: str) -> None:
    """403 and 400, as where a policy denies the read; Secrets Manager is not asked for other names."""
    endpoint = Endpoint(allow=(pattern,))
    answer = endpoint.ask(f"/secretsmanager/get?secretId={NAME}")
    assert (403, "AccessDeniedException") == (answer.status_code, answer.json()["__type"])
    assert "--allow" in answer.json()["message"]
    assert {400, 403} == answers(endpoint, NAME)
    assert {400, 403} == answers(endpoint, endpoint.world.arn)
    assert endpoint.world.reads == 0


PLACE = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"


@pytest.mark.parametrize(
    ("pattern", "asked", "is_looked_at"),
    [
        ("prod/db-XyZ123", "prod/db", True),
        ("prod/db-XyZ123", f"{PLACE}prod/db", True),
        ("prod/db-XyZ123", f"{PLACE}prod/db-XyZ123", True),
        ("prod/db-??????", "prod/db", True),
        ("prod/db-X*", "prod/db", True),
        ("prod/db-X*3", f"{PLACE}prod/db", True),
        ("prod/db*", f"{PLACE}prod/db", True),
        ("prod/*-XyZ123", "prod/db", True),
        ("*", f"{PLACE}prod/db", True),
        ("prod/db-XyZ123", "prod/d", False),
        ("prod/db-XyZ123", "prod/db-Xy", False),
        ("prod/db-XyZ123", f"{PLACE}prod/db-AbCdEf", False),
        ("prod/db-XyZ123", f"{PLACE.replace('eu', 'us')}prod/db", False),
        ("prod/db-?????", "prod/db", False),
        ("prod/db-???????", "prod/db", False),
        ("prod/db-*-2", f"{PLACE}prod/db", True),
        ("prod/dbs*", "prod/db", False),
        ("prod/db", "prod/db", False),
    ],
)
def test_an_arn_names_a_secret_by_any_suffix(pattern: str, asked: str, is_looked_at: bool) -> None:  # noqa: FBT001
    """Callers may leave out the suffix: what can be allowed by some suffix is read, and nothing else."""
    allowed = AllowList([PLACE + pattern])
    if is_looked_at:
        allowed.check_secret(asked)
    else:
        with pytest.raises(AccessDeniedError):
            allowed.check_secret(asked)


def test_a_secret_is_served_by_its_whole_arn() -> None:
    """By name and by both forms of the ARN; another secret of that name, with another suffix, is refused."""
    endpoint = Endpoint()
    arn = endpoint.world.arn
    named = Endpoint(allow=(arn,), given_cache=endpoint.world.cache())
    assert {200} == answers(named, NAME) | answers(named, arn) | answers(named, arn[:-7])
    other = Endpoint(allow=(f"{arn[:-6]}XyZ123",), given_cache=endpoint.world.cache())
    assert {400, 403} == answers(other, NAME) | answers(other, arn) | answers(other, arn[:-7])


def test_an_arn_that_may_be_allowed_is_looked_at() -> None:
    """Only the answer says where the name in an ARN ends: refused then, and no value is handed out."""
    endpoint = Endpoint(allow=("prod/db-*",))
    assert {400, 403} == answers(endpoint, endpoint.world.arn)


def test_an_id_cannot_be_bent() -> None:
    """Encoded, doubled, cut off or dressed up, an id of another secret is another secret's."""
    endpoint = Endpoint(allow=("prod/db",))
    others = [
        endpoint.world.secrets.create(name, "canary")
        for name in ("dev/db", "prod/db-AbCdEf", "prod/../dev/db")
    ]
    for secret_id in (
        *(
            "dev/db",
            "prod/db-AbCdEf",
            "prod/../dev/db",
            "prod/db/../../dev/db",
            "/prod/db",
            "prod//db",
            "PROD/DB",
        ),
        *("prod%2Fdb", "prod/db ", " prod/db", "prod/db\0", "prod/db\n", "prod/db,dev/db", f"{ARN}dev/db"),
        *(one[:-7] for one in others),
        *others,
    ):
        for target in (
            f"/secretsmanager/get?secretId={quote(secret_id, safe='')}",
            f"/v1/{quote(secret_id, safe='/')}",
        ):
            answer = endpoint.ask(target)
            assert answer.status_code in (400, 403, 404), (secret_id, answer.text)
            assert "canary" not in answer.text
    twice = endpoint.ask("/secretsmanager/get?secretId=prod/db&secretId=dev/db")
    assert 403 == twice.status_code


def test_a_version_is_checked_like_a_secret() -> None:
    """`versionId` is read by another cache, behind the same list."""
    endpoint = Endpoint(allow=("dev/*",))
    for query in ("versionId=v1", "versionId=v1&versionStage=AWSCURRENT", "refreshNow=true"):
        assert 403 == endpoint.ask(f"/secretsmanager/get?secretId={NAME}&{query}").status_code
    assert (
        200
        == Endpoint(allow=("prod/*",)).ask(f"/secretsmanager/get?secretId={NAME}&versionId=v1").status_code
    )


PARAMETER_ARN = "arn:aws:ssm:us-east-1:111122223333:parameter"


@pytest.mark.parametrize(
    ("pattern", "asked", "is_allowed"),
    [
        ("/prod/*", "/prod/host", True),
        ("/prod/*", "/prod/host:3", True),
        ("/prod/*", "/prod/host:label", True),
        ("/prod/*", f"{PARAMETER_ARN}/prod/host", True),
        ("/prod/*", f"{PARAMETER_ARN}/prod/host:3", True),
        (f"{PARAMETER_ARN}/prod/*", "/prod/host", True),
        (f"{PARAMETER_ARN}/prod/*", f"{PARAMETER_ARN}/prod/host", True),
        ("flat", "flat", True),
        ("flat", f"{PARAMETER_ARN}/flat", True),
        ("/prod/*", "/dev/host", False),
        ("/prod/*", f"{PARAMETER_ARN}/dev/host", False),
        ("prod/*", "/prod/host", False),
        ("prod/*", "/aws/reference/secretsmanager/prod/db", False),
        ("/prod/host", "/prod/host2", False),
        ("/prod/host", "/prod/host/2:host", False),
        (f"{PARAMETER_ARN}/prod/*", "/dev/host", False),
        (f"{ARN}*", "/prod/host", False),
    ],
)
def test_parameters_are_in_the_same_list(pattern: str, asked: str, is_allowed: bool) -> None:  # noqa: FBT001
    """By name or ARN, with and without version or label, before anything is read."""
    allowed = AllowList([pattern])
    if is_allowed:
        allowed.check_parameter_name(asked)
    else:
        with pytest.raises(AccessDeniedError):
            allowed.check_parameter_name(asked)


def test_a_parameter_out_of_the_list_is_not_read() -> None:
    """403, as where a policy denies it."""
    answer = Endpoint(allow=("/prod/*",)).ask("/systemsmanager/parameters/get?name=/dev/host")
    assert (403, "AccessDeniedException") == (answer.status_code, answer.json()["__type"])


class Renamed:
    """Answers with a parameter of another name than was asked for."""

    def read(self, secret_id: str, *, stage: str, version_id: str | None = None) -> Parameter:
        arn = f"{PARAMETER_ARN}/dev/host"
        return Parameter(secret_id, arn, "/dev/host", "1", frozenset({stage}), 0.0, string="canary")


def test_the_answer_is_checked_as_well() -> None:
    """What an answer says it is counts, not only what was asked for."""
    cache = SecretCache(peers=Peers(source=World().secrets, parameter_source=lambda _: Renamed()))
    for pattern, expected in (("/prod/*", 403), ("/*", 200)):
        endpoint = Endpoint(allow=(pattern,), given_cache=cache)
        assert expected == endpoint.ask("/systemsmanager/parameters/get?name=/prod/host").status_code


@pytest.mark.parametrize("pattern", ["", "prod/\n*", "a\0", "\x1b[2J"])
def test_a_pattern_must_be_one(pattern: str) -> None:
    """An empty one, as of a variable that is not set, would allow nothing and look as if it did."""
    with pytest.raises(ConfigurationError, match="--allow"):
        AllowList([pattern])


def test_no_pattern_takes_long() -> None:
    """Many wildcards and a long id that fits almost: a thousand times the steps would be seen."""
    allowed = AllowList(["*a" * 200 + "b"])
    started_s = time.process_time()
    with pytest.raises(AccessDeniedError):
        allowed.check_secret("a" * 2048)
    assert time.process_time() - started_s < 0.5
