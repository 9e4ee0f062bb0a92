"""What is a name, an ARN or a path, which marker belongs to it, and what is said of all else."""

from __future__ import annotations

import pytest

from keyturn import InvalidParameterNameError, InvalidSecretIdError
from keyturn.model.names import (
    Arn,
    ParameterId,
    Place,
    checked_secret_id,
    is_parameter_key,
    is_secret_arn,
    name_in,
    parameter_id,
    parameter_key,
    parameter_key_of,
    parameter_path,
    secret_key,
)
from keyturn.model.versions import AWSCURRENT

PLACE = "eu-west-1:111122223333"
SECRET = f"arn:aws:secretsmanager:{PLACE}:secret:prod/db"
PARAMETER = f"arn:aws:ssm:{PLACE}:parameter/prod/db"
REFERENCE = "/aws/reference/secretsmanager/"
LONGEST = "x" * 2048
DEEPEST = "/a" * 15


@pytest.mark.parametrize(
    ("text", "arn"),
    [
        (SECRET, Arn("aws", "secretsmanager", "eu-west-1", "111122223333", "secret:prod/db")),
        ("arn:aws:s3:::a:b:c", Arn("aws", "s3", "", "", "a:b:c")),
        ("arn:aws:s3:::", None),
        ("arn:aws::::a", None),
        ("arn::s3:::a", None),
        ("arn:aws:s3::a", None),
        ("urn:aws:s3:::a", None),
        ("prod/db", None),
    ],
)
def test_an_arn_has_a_partition_a_service_and_a_resource(text: str, arn: Arn | None) -> None:
    """A Region or an account may be missing, and the resource may have colons."""
    assert arn == Arn.parse(text)
    assert arn is None or text == str(arn)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (SECRET, Place("aws", "eu-west-1", "111122223333")),
        (PARAMETER, Place("aws", "eu-west-1", "111122223333")),
        (f"arn:aws:x:{PLACE}:a:b:c", Place("aws", "eu-west-1", "111122223333")),
        ("arn:aws:s3:::a", None),
        ("arn:aws:s3:eu-west-1::a", None),
        ("arn::s3:eu-west-1:111122223333:a", None),
        ("arn:aws:s3:eu-west-1:111122223333", None),
        (f"urn:aws:x:{PLACE}:a", None),
        ("aws:arn:x:y:z:a", None),
        ("prod/db", None),
        ("", None),
    ],
)
def test_a_place_is_whole_or_unknown(text: str, place: Place | None) -> None:
    """A partition, a Region and an account."""
    assert place == Place.of(text)


@pytest.mark.parametrize("secret_id", ["x", LONGEST, "prod/db", "password of the database", SECRET])
def test_what_can_be_an_id_is_one(secret_id: str) -> None:
    """Secrets Manager says more of it."""
    assert secret_id == checked_secret_id(secret_id)


@pytest.mark.parametrize(
    ("secret_id", "shown", "detail"),
    [
        ("", "", "0 characters long"),
        (f"{LONGEST}x", "x" * 80, "2049 characters long"),
        ("a" * 100 + "\n", "a" * 80, "it has a character that cannot be printed"),
        (None, "None", "a NoneType, not text"),
        (b"b" * 100, "b'" + "b" * 78, "a bytes, not text"),
    ],
)
def test_what_cannot_be_an_id_is_told_in_short(secret_id: object, shown: str, detail: str) -> None:
    """The error says what is wrong, and shows where the text begins."""
    with pytest.raises(InvalidSecretIdError) as caught:
        checked_secret_id(secret_id)
    assert (shown, detail) == (caught.value.secret_id, caught.value.detail)


@pytest.mark.parametrize("region", ["eu_west_1", "EU-WEST-1", "eu-west-1 ", "-", "7", "evil.example/"])
def test_a_region_that_none_can_be_is_told_of_the_id(region: str) -> None:
    """And of no variable: that in the ARN counts."""
    secret, parameter = (one.replace("eu-west-1", region) for one in (f"{SECRET}-AbCdEf", PARAMETER))
    for judge, asked in ((checked_secret_id, secret), (parameter_id, parameter)):
        with pytest.raises(InvalidSecretIdError) as caught:
            judge(asked)
        assert (asked, "the Region in its ARN is no Region's name") == (
            caught.value.secret_id,
            caught.value.detail,
        )


@pytest.mark.parametrize("region", ["xx-nowhere-9", "eusc-de-east-1", ""])
def test_a_region_that_is_new_or_missing_is_not_refused(region: str) -> None:
    """Which Regions there are is AWS's to say."""
    secret, parameter = (one.replace("eu-west-1", region) for one in (SECRET, PARAMETER))
    assert secret == checked_secret_id(secret)
    assert parameter == parameter_id(parameter).name


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (SECRET, True),
        (f"{SECRET}-AbCdEf", True),
        (PARAMETER, False),
        (f"arn:aws:secretsmanager:{PLACE}:other:prod/db", False),
        (f"arn:aws:ssm:{PLACE}:secret:prod/db", False),
        ("prod/db", False),
    ],
)
def test_an_arn_is_that_of_a_secret_by_service_and_resource(
    text: str,
    is_one: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    """Whole, or without its suffix."""
    assert is_one is is_secret_arn(text)


@pytest.mark.parametrize(
    ("arn", "name", "key"),
    [
        (f"{SECRET}-AbCdEf", "prod/db", SECRET),
        (f"{SECRET}-AbCdEf-GhIjKl", "prod/db-AbCdEf", f"{SECRET}-AbCdEf"),
        (f"{SECRET}-AbCdEf", "other", f"{SECRET}-AbCdEf"),
        (f"{SECRET}-AbCdEf", "db", f"{SECRET}-AbCdEf"),
        (SECRET, "prod/db", SECRET),
    ],
)
def test_the_key_of_a_secret_is_its_arn_without_the_suffix(arn: str, name: str, key: str) -> None:
    """Where the name says that there is one."""
    assert key == secret_key(arn, name)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (SECRET, "prod/db"),
        (f"arn:aws:secretsmanager:{PLACE}:secret:a:b:c", "a:b:c"),
        (PARAMETER, "/prod/db"),
        (f"arn:aws:ssm:{PLACE}:parameter/flat", "flat"),
        (f"arn:aws:ssm:{PLACE}:parameter/parameter/x", "/parameter/x"),
        (f"arn:aws:secretsmanager:{PLACE}:secret:parameter/x", "parameter/x"),
    ],
)
def test_a_key_has_the_name_in_it(key: str, name: str) -> None:
    """Of a secret or a parameter."""
    assert name == name_in(key)


def test_the_key_of_a_parameter_is_its_arn() -> None:
    """With one slash before its name, whether that begins with one or not."""
    arn = Arn.parse(SECRET)
    assert arn is not None
    assert PARAMETER == parameter_key(arn, "/prod/db") == parameter_key_of(PARAMETER, "/prod/db")
    assert f"arn:aws:ssm:{PLACE}:parameter/flat" == parameter_key(arn, "flat")


@pytest.mark.parametrize(
    ("asked", "name", "selector"),
    [
        ("x", "x", AWSCURRENT),
        ("/prod/db", "/prod/db", AWSCURRENT),
        ("/prod/db:3", "/prod/db", "3"),
        ("/prod/db:a-label", "/prod/db", "a-label"),
        (PARAMETER, PARAMETER, AWSCURRENT),
        (f"{PARAMETER}:3", PARAMETER, "3"),
        (f"arn:aws:ssm:{PLACE}:parameter/flat", f"arn:aws:ssm:{PLACE}:parameter/flat", AWSCURRENT),
        (DEEPEST, DEEPEST, AWSCURRENT),
        (LONGEST, LONGEST, AWSCURRENT),
        (f"{REFERENCE}a secret+=@!", f"{REFERENCE}a secret+=@!", AWSCURRENT),
    ],
)
def test_a_parameter_is_named_by_name_or_arn_and_selector(asked: str, name: str, selector: str) -> None:
    """Without a selector the latest version is meant."""
    assert ParameterId(name, selector) == parameter_id(asked)


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ("prod/db", "a path begins with a slash"),
        ("/prod//db", "an empty part"),
        ("/prod/", "an empty part"),
        ("/prod db", "a character that no name has"),
        ("/prod/db:", "what follows the colon is neither a label nor a version"),
        (f"/prod/db:{'x' * 101}", "what follows the colon is neither a label nor a version"),
        (f"{DEEPEST}/a", "more than 15 levels"),
        (REFERENCE, "an empty part"),
        (SECRET, "not the ARN of a parameter"),
        ("arn:aws:ssm", "not the ARN of a parameter"),
        (f"arn:aws:ssm:{PLACE}:document/prod", "not the ARN of a parameter"),
    ],
)
def test_what_no_parameter_is_called_is_told(asked: str, detail: str) -> None:
    """The error has the text that was asked for, and says what is wrong with it."""
    with pytest.raises(InvalidParameterNameError) as caught:
        parameter_id(asked)
    assert (asked, detail) == (caught.value.secret_id, caught.value.detail)


@pytest.mark.parametrize(
    ("asked", "shown", "detail"),
    [
        ("", "", "0 characters long"),
        (f"{LONGEST}x", "x" * 80, "2049 characters long"),
        (None, "None", "a NoneType, not text"),
        (b"b" * 100, "b'" + "b" * 78, "a bytes, not text"),
    ],
)
def test_what_no_name_can_be_is_told_in_short(asked: object, shown: str, detail: str) -> None:
    """With the first characters of it. What is no text is no path either."""
    for judge in (parameter_id, parameter_path):
        with pytest.raises(InvalidParameterNameError) as caught:
            judge(asked)
        assert (shown, detail) == (caught.value.secret_id, caught.value.detail)


@pytest.mark.parametrize(
    ("asked", "path"), [("/", "/"), ("/prod", "/prod"), ("/prod/", "/prod"), ("/prod/db//", "/prod/db")]
)
def test_a_path_begins_with_a_slash_and_ends_without(asked: str, path: str) -> None:
    """All parameters have the path `/`."""
    assert path == parameter_path(asked)


@pytest.mark.parametrize("asked", ["prod", "/prod ", "X/prodX", "prod/"])
def test_what_is_no_path_is_told(asked: str) -> None:
    """A flat name is a parameter, and no path; a blank belongs to no name."""
    with pytest.raises(InvalidParameterNameError) as caught:
        parameter_path(asked)
    blank = "a character that no name has"
    assert (blank if " " in asked else "a path begins with a slash") == caught.value.detail
    assert asked.rstrip("/") == caught.value.secret_id


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/app/host", True),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/flat", True),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/app/host:3", False),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/app//host", False),
        ("arn:aws:ssm:eu-west-1::parameter/aws/service/x/latest", True),
        ("arn:aws:ssm:eu-west-1::parameter/app/host", False),
        ("arn:aws:ssm:eu-west-1::parameter/aws/service", False),
        ("arn:aws:s3:::bucket", False),
        ("/app/host", False),
        ("flat", False),
        ("", False),
    ],
)
def test_only_the_arn_of_a_parameter_is_its_key(key: str, expected: bool) -> None:  # noqa: FBT001 # a parameter of the test
    """With no selector, and of a name that a parameter can have. What AWS publishes has no account."""
    assert expected is is_parameter_key(key)
