"""MySQL's part of the rotation, without a server: hashes, what is shown, and the statements for MySQL 8.

Its statements were tried on no MySQL. tests/servers rotates on a real MariaDB.
"""

from __future__ import annotations

from typing import cast

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.cursors import Cursor

from keyturn import ConfigurationError
from keyturn.rotation import RotationStepError
from keyturn.rotation.mysql.changes import BothPasswords, Clone, OnlyPassword, own_change
from keyturn.rotation.mysql.hashes import NATIVE, SHA2, Method, hashed, sha_crypt
from keyturn.rotation.mysql.server import Session
from keyturn.rotation.mysql.shown import Version, account, are_within, created, grant, quoted
from keyturn.rotation.trust import Account, Unshown
from tests.rotation.fake_mysql import FakeAccount, FakeMySql, sha2_account

APP, OTHER = "`app`@`%`", "`app`@`10.%`"


def session(server: FakeMySql) -> Session:
    """A session of the fake."""
    return Session(cast("pymysql.Connection[Cursor]", server))


def of(password: str, user: str = "app") -> Account:
    """An account of the secret."""
    return Account("prod/mysql", user, password)


def test_the_hash_of_caching_sha2_password() -> None:
    """The digest is that of the specification, and of the example that hashcat publishes for MySQL."""
    assert "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5" == sha_crypt(b"Hello world!", b"saltstring", 5000)
    salt = bytes.fromhex("F9CC98CE08892924F50A213B6BC571A2C11778C5")
    digest = bytes.fromhex(
        "625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F"
    )
    assert digest.decode() == sha_crypt(b"hashcat", salt, 5000)


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("password", ["x", "p\u00e9\u20ac'\"\\", "a" * 256])
def test_a_hash_fits_its_password_only(plugin: str, password: str) -> None:
    """It has no quote, no backslash and no password."""
    stored = hashed(plugin, password)
    assert Method(plugin, stored).fits(password)
    assert not Method(plugin, stored).fits(password + "x")
    assert not set(stored) & set("'\"\\`\n")
    assert password[:3] not in stored or len(password) == 1
    assert stored not in repr(Method(plugin, stored))


def test_the_hash_of_the_native_method() -> None:
    """As `SELECT PASSWORD('x')` of MariaDB says."""
    assert "*B69027D44F6E5EDC07F1AEAD1477967B16F28227" == hashed(NATIVE, "x")


@pytest.mark.parametrize(
    "stored", ["", "$A$005$", "$A$FFF$" + "a" * 63, "$A$005$" + "a" * 62, "*abc", "é" * 70]
)
@pytest.mark.parametrize("plugin", [NATIVE, SHA2, "unix_socket"])
def test_what_is_no_hash_fits_nothing(plugin: str, stored: str) -> None:
    """A text of another form, or with more rounds than the default, costs no time and fits no password."""
    assert not Method(plugin, stored).fits("x")


def test_a_password_that_is_too_long_for_its_method() -> None:
    """MySQL takes 256 bytes; a longer one would take long to hash."""
    assert not Method(SHA2, hashed(SHA2, "x")).fits("x" * 16_000)
    with pytest.raises(ConfigurationError, match="256 bytes"):
        hashed(SHA2, "x" * 257)


@pytest.mark.parametrize(
    ("told", "is_mariadb", "number", "has_two"),
    [
        ("10.11.19-MariaDB-0+deb12u1-log", True, (10, 11, 19), True),
        ("5.5.5-10.9.2-MariaDB", True, (10, 9, 2), True),
        ("10.3.39-MariaDB", True, (10, 3, 39), False),
        ("11.4.2-MariaDB-ubu2404", True, (11, 4, 2), True),
        ("8.0.36", False, (8, 0, 36), True),
        ("8.0.13-commercial", False, (8, 0, 13), False),
        ("8.0.14", False, (8, 0, 14), True),
        ("8.0.35-27", False, (8, 0, 35), True),
        ("9.1.0", False, (9, 1, 0), True),
        ("8.0.mysql_aurora.3.05.2", False, (8, 0, 0), False),
        ("5.7.44-log", False, (5, 7, 44), False),
        ("unknown", False, (0, 0, 0), False),
    ],
)
def test_versions_are_numbers(
    told: str,
    is_mariadb: bool,  # noqa: FBT001 # a table
    number: tuple[int, int, int],
    has_two: bool,  # noqa: FBT001 # a table
) -> None:
    """10.11 is newer than 10.9; the prefix of old replication is none of the version."""
    version = Version.of(told, "")
    assert (is_mariadb, number, has_two) == (version.is_mariadb, version.number, version.has_two_passwords)
    assert Version.of("10.6.1", "mariadb.org binary distribution").is_mariadb


@given(user=st.text(max_size=20), host=st.text(max_size=20), stored=st.text(max_size=20))
def test_names_of_any_characters_are_read_back(user: str, host: str, stored: str) -> None:
    """Whatever a name holds, an account and its grants are found again, and none of it counts as SQL."""
    name = account(user, host)
    literal = "'" + stored.replace("\\", "\\\\").replace("'", "''") + "'"
    shown = created(f"CREATE USER {name} IDENTIFIED VIA {NATIVE} USING {literal} REQUIRE SSL")
    assert ([stored], "REQUIRE SSL", True) == (
        [one.stored for one in shown.methods],
        shown.rest,
        shown.is_known,
    )
    line = f"GRANT SELECT, UPDATE (`a`) ON {quoted(user)}.* TO {name} WITH GRANT OPTION"
    found = grant(line)
    assert found is not None
    assert (user, host, name) == (found.user, found.host, found.grantee)
    assert line == found.to(name)


def test_what_is_shown_of_an_account_with_more_than_a_password() -> None:
    """A second factor, or a method that has no password, is more: such an account is left alone."""
    two_factors = created(
        f"CREATE USER {APP} IDENTIFIED WITH '{SHA2}' AS 'x' AND IDENTIFIED WITH 'authentication_ldap' AS 'y'"
    )
    socket = created(f"CREATE USER {APP} IDENTIFIED VIA unix_socket OR {NATIVE} USING '*x'")
    for shown in (two_factors, socket, created(f"CREATE USER {APP} ACCOUNT LOCK")):
        assert not shown.has_only([NATIVE, SHA2])


@pytest.mark.parametrize(
    ("rest", "lasting"),
    [
        ("REQUIRE NONE PASSWORD EXPIRE ACCOUNT LOCK", "REQUIRE NONE ACCOUNT LOCK"),
        ("REQUIRE NONE PASSWORD EXPIRE PASSWORD HISTORY DEFAULT", "REQUIRE NONE PASSWORD HISTORY DEFAULT"),
        ("PASSWORD EXPIRE", ""),
        ("REQUIRE SSL PASSWORD EXPIRE INTERVAL 30 DAY", None),
        ("PASSWORD EXPIRE NEVER ACCOUNT LOCK", None),
        ("REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK", None),
        ("REQUIRE SUBJECT 'PASSWORD EXPIRE' WITH MAX_USER_CONNECTIONS 3", None),
        ("", None),
    ],
)
def test_what_a_clone_does_not_get(rest: str, lasting: str | None) -> None:
    """The expiry of the user's present password. The lifetime of its passwords stays."""
    shown = created(f"CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*00' {rest}")
    assert (lasting is not None) is shown.is_expired
    assert (rest if lasting is None else lasting) == shown.lasting


def test_default_roles_of_mysql_stand_apart() -> None:
    """CREATE USER would have to have the roles granted before, so that they are set afterwards."""
    shown = created(
        f"CREATE USER {APP} IDENTIFIED WITH '{SHA2}' AS 0x61 DEFAULT ROLE `r`@`%`,`s`@`%` REQUIRE NONE "
        'ATTRIBUTE \'{"a": "x @ y"}\''
    )
    assert ("`r`@`%`,`s`@`%`", 'REQUIRE NONE ATTRIBUTE \'{"a": "x @ y"}\'') == (
        shown.default_roles,
        shown.rest,
    )
    assert ["a"] == [method.stored for method in shown.methods]


@pytest.mark.parametrize(
    ("what", "is_powerful"),
    [
        ("SELECT, PROCESS ON *.*", False),
        ("INSERT ON *.*", True),
        ("SYSTEM_VARIABLES_ADMIN ON *.*", True),
        ("ALL PRIVILEGES ON `mysql`.*", True),
        ("ALL PRIVILEGES ON `m%`.*", True),
        ("ALL PRIVILEGES ON `_ysql`.*", True),
        ("ALL PRIVILEGES ON `my\\_app`.*", False),
        ("ALL PRIVILEGES ON `mysql_app`.*", False),
        ("ALL PRIVILEGES ON `x%`.*", False),
        ("UPDATE ON `mysql`.`user`", True),
        ("SELECT ON `mysql`.`user`", False),
        ("PROXY ON ''@'%'", True),
        ("EXECUTE ON PROCEDURE `shop`.`p`", False),
    ],
)
def test_what_leads_to_other_accounts(what: str, is_powerful: bool) -> None:  # noqa: FBT001 # a table
    """Writing `mysql`, also by a pattern, and every right on all databases but those to read."""
    found = grant(f"GRANT {what} TO {APP}")
    assert found is not None
    assert is_powerful is found.is_powerful


def test_grants_are_compared_part_by_part() -> None:
    """A clone's right is within the user's if the user has it at the same level, with its options."""

    def lines(*texts: str) -> list[object]:
        return [grant(f"GRANT {text.replace(' TO', f' TO {APP}')}") for text in texts]

    texts = (
        "SELECT, UPDATE (`a`, `b`) ON `d`.* TO",
        "`r`@`%`,`s`@`%` TO",
        "SELECT ON `g`.* TO WITH GRANT OPTION",
    )
    own = [one for one in lines(*texts) if one]
    for text, is_within in [
        ("SELECT ON `d`.* TO", True),
        ("UPDATE (`a`, `b`) ON `d`.* TO", True),
        ("UPDATE ON `d`.* TO", False),
        ("SELECT ON `d`.* TO WITH GRANT OPTION", False),
        ("SELECT ON `e`.* TO", False),
        ("`s`@`%` TO", True),
        ("`t`@`%` TO", False),
        ("USAGE ON *.* TO", True),
        ("USAGE ON `d`.* TO WITH GRANT OPTION", False),
        ("USAGE ON `g`.* TO WITH GRANT OPTION", True),
    ]:
        found = grant(f"GRANT {text.replace(' TO', f' TO {APP}')}")
        assert found is not None
        assert is_within is found.is_within(own)  # type: ignore[arg-type] # grants


class TestTwoPasswordsOfMySql:
    """`RETAIN CURRENT PASSWORD` by the documentation: AWSCURRENT is let in after every statement."""

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("current", None),
            ("current", "older"),
            ("cancelled", "current"),
            ("pending", "current"),
            ("current", "x"),
        ],
    )
    def test_a_rotation(self, first: str, second: str | None) -> None:
        """From every state that a rotation can leave: both passwords, no other, and no moment without."""
        server = FakeMySql(accounts={APP: sha2_account(first, second=second), OTHER: sha2_account("current")})
        known, kept = [of("pending"), of("current")], of("current")

        def check() -> None:
            assert all(one.lets_in("current") for one in server.accounts.values())

        server.after = check
        done: list[int] = []
        for _ in range(2):
            change = BothPasswords(session(server), known, kept)
            assert change.objection("app", "app") is None
            change.change(of("current"), of("pending"))
            for one in server.accounts.values():
                assert one.lets_in("pending")
                assert not any(one.lets_in(other) for other in ("older", "cancelled", "x"))
            done.append(sum(one.startswith("ALTER") for one in server.statements))
        assert done[0] == done[1]
        assert not any(word in one for one in server.statements for word in ("pending", "'current'"))

    def test_it_ends(self) -> None:
        """The retirement leaves the password of AWSCURRENT, and discards the other."""
        server = FakeMySql(accounts={APP: sha2_account("current", second="previous")})
        change = OnlyPassword(session(server), [of("current"), of("previous")])
        assert change.objection("app", "app") is None
        change.change(of("current"), of("current"))
        assert (True, None) == (server.accounts[APP].lets_in("current"), server.accounts[APP].second)
        assert [f"ALTER USER {APP} DISCARD OLD PASSWORD"] == [
            one for one in server.statements if one.startswith("ALTER")
        ]

    def test_an_older_server_is_refused(self) -> None:
        """8.0.9 is older than 8.0.14, though its text is not."""
        server = FakeMySql("8.0.9", accounts={APP: sha2_account("current")})
        objection = BothPasswords(session(server), [of("current")], of("current")).objection("app", "app")
        assert "one password" in str(objection)


def test_a_clone_on_mysql() -> None:
    """It gets requirements, grants, revokes and default roles, a hash of its own, and no second password."""
    grants = [
        f"GRANT USAGE ON *.* TO {APP}",
        f"GRANT SELECT ON `shop`.* TO {APP} WITH GRANT OPTION",
        f"GRANT USAGE ON `till`.* TO {APP} WITH GRANT OPTION",
        f"GRANT `r`@`%` TO {APP}",
        f"REVOKE INSERT ON `x`.* FROM {APP}",
    ]
    rest = "DEFAULT ROLE `r`@`%` REQUIRE SSL WITH MAX_USER_CONNECTIONS 3"
    stored = hashed(SHA2, "current")
    server = FakeMySql(
        accounts={
            APP: FakeAccount(SHA2, stored, rest=rest, grants=grants),
            "`r`@`%`": FakeAccount(SHA2, "", grants=["GRANT SELECT ON `a`.* TO `r`@`%`"]),
        }
    )
    change = Clone(session(server), of("current"), [of("new", "app_clone")])
    assert change.objection("app", "app_clone") is None
    change.change(of("current"), of("new", "app_clone"))
    clone = server.accounts["`app_clone`@`%`"]
    assert clone.lets_in("new")
    assert "REQUIRE SSL WITH MAX_USER_CONNECTIONS 3" == clone.rest
    assert [
        "GRANT SELECT ON `shop`.* TO `app_clone`@`%` WITH GRANT OPTION",
        "GRANT USAGE ON `till`.* TO `app_clone`@`%` WITH GRANT OPTION",
        "GRANT `r`@`%` TO `app_clone`@`%`",
        "REVOKE INSERT ON `x`.* FROM `app_clone`@`%`",
        "SET DEFAULT ROLE `r`@`%` TO `app_clone`@`%`",
    ] == [one for one in server.statements if one.startswith(("GRANT", "REVOKE", "SET DEFAULT"))]
    assert not any("'new'" in one or stored in one for one in server.statements)


def test_a_user_of_mysql_does_not_change_itself() -> None:
    """MySQL would take the password in clear only, so that a master must do it."""
    server = FakeMySql(accounts={APP: sha2_account("current")})
    with pytest.raises(RotationStepError, match="masterarn"):
        own_change(session(server), of("pending"))
    assert not any(one.startswith(("ALTER", "SET PASSWORD")) for one in server.statements)


@pytest.mark.parametrize(
    "more",
    [
        "GRANT SELECT ON `payroll`.* TO {clone}",
        "GRANT USAGE ON `shop`.* TO {clone} WITH GRANT OPTION",
        "GRANT `r`@`%` TO {clone}",
        None,
    ],
)
def test_a_clone_with_more_than_the_user(more: str | None) -> None:
    """Refused, also if it is GRANT OPTION alone or what MySQL revokes from the user: unless it is shown."""
    own = [
        "GRANT SELECT ON *.* TO {clone}",
        *([more] if more else ["REVOKE SELECT ON `payroll`.* FROM {clone}"]),
    ]
    clone = "`app_clone`@`%`"
    theirs = own if more else own[:1]
    mine = own[:1] if more else own
    server = FakeMySql(
        accounts={
            APP: sha2_account("current", grants=[line.format(clone=APP) for line in mine]),
            clone: sha2_account("its own", grants=[line.format(clone=clone) for line in theirs]),
            "`r`@`%`": sha2_account(""),
        }
    )
    change = Clone(session(server), of("current"), [of("new", "app_clone")])
    objection = change.objection("app", "app_clone")
    assert "a right that the current user does not have" in str(objection)
    # The function asks again with older versions of the secret.
    assert isinstance(objection, Unshown)
    shown = Clone(session(server), of("current"), [of("its own", "app_clone")])
    assert shown.objection("app", "app_clone") is None
    for account_of in (APP, clone):
        server.accounts[account_of].grants = [line.format(clone=account_of) for line in own]
    assert change.objection("app", "app_clone") is None


READ_ALL_BUT = ["GRANT SELECT, INSERT ON *.* TO {}", "REVOKE SELECT ON `payroll`.* FROM {}"]
EVERYTHING_BUT = ["GRANT ALL PRIVILEGES ON *.* TO {}", "REVOKE SELECT ON `payroll`.* FROM {}"]


@pytest.mark.parametrize(
    ("mine", "theirs", "is_within"),
    [
        (READ_ALL_BUT, ["GRANT USAGE ON *.* TO {}"], True),
        (READ_ALL_BUT, [READ_ALL_BUT[0], "REVOKE SELECT, INSERT ON `payroll`.* FROM {}"], True),
        (READ_ALL_BUT, ["GRANT INSERT ON *.* TO {}"], True),
        (READ_ALL_BUT, [READ_ALL_BUT[0], "REVOKE INSERT ON `payroll`.* FROM {}"], False),
        (READ_ALL_BUT, [READ_ALL_BUT[0], "REVOKE SELECT ON `shop`.* FROM {}"], False),
        (READ_ALL_BUT, ["GRANT SELECT ON *.* TO {}"], False),
        (EVERYTHING_BUT, ["GRANT INSERT ON *.* TO {}"], True),
        (EVERYTHING_BUT, ["GRANT ALL PRIVILEGES ON *.* TO {}"], False),
        (EVERYTHING_BUT, [EVERYTHING_BUT[0], "REVOKE ALL PRIVILEGES ON `payroll`.* FROM {}"], True),
        ([EVERYTHING_BUT[0], "REVOKE ALL PRIVILEGES ON `payroll`.* FROM {}"], EVERYTHING_BUT, False),
    ],
)
def test_what_mysql_revokes_counts_where_the_clone_has_it(
    mine: list[str],
    theirs: list[str],
    is_within: bool,  # noqa: FBT001 # a table
) -> None:
    """A clone that may do less than the user is its clone, whatever the user lacks in a database."""
    own, clones = (
        [one for line in lines if (one := grant(line.format(name))) is not None]
        for lines, name in ((mine, APP), (theirs, "`app_clone`@`%`"))
    )
    assert is_within == are_within(clones, own)


def test_a_session_may_write() -> None:
    """The server's setting for new sessions may be read-only. Tried on MariaDB in tests/servers."""
    server = FakeMySql()
    session(server)
    assert "SET SESSION TRANSACTION READ WRITE" in server.statements


@pytest.mark.parametrize("role", ["dba", "'dba'", '"dba"', "`dba`", "dba@%", "'dba'@'%'", "`dba`@`%`"])
def test_what_a_role_may_do_counts_however_it_is_shown(role: str) -> None:
    """Older servers show the names of roles without quotes, or with others than this program writes."""
    name = "`dba`@`%`" if "@" in role else "`dba`"
    server = FakeMySql(
        accounts={
            APP: sha2_account(
                "current", grants=["GRANT USAGE ON *.* TO 'app'@'%'", f"GRANT {role} TO 'app'@'%'"]
            ),
            name: sha2_account("", grants=[f"GRANT CREATE USER ON *.* TO {role}"]),
        }
    )
    objection = OnlyPassword(session(server), [of("current")]).objection("app", "app")
    assert "privileged" in str(objection)


def test_grants_of_nobody_who_was_asked_for_are_an_error() -> None:
    """An account without any line would pass as one that may do nothing."""
    server = FakeMySql(
        accounts={APP: sha2_account("current", grants=["GRANT CREATE USER ON *.* TO app@other"])}
    )
    with pytest.raises(RotationStepError, match="no line about"):
        OnlyPassword(session(server), [of("current")]).objection("app", "app")


@pytest.mark.parametrize("line", ["SOMETHING NEW", "GRANT USAGE ON *.* TO `app`@"])
def test_a_line_that_is_not_understood_is_an_error(line: str) -> None:
    """What an account may do is not guessed."""
    server = FakeMySql(accounts={APP: sha2_account("current", grants=[line])})
    with pytest.raises(RotationStepError, match="not understood"):
        OnlyPassword(session(server), [of("current")]).objection("app", "app")
