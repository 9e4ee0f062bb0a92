"""What a master changes for a secret: which accounts it may change, and the statements.

A user of MySQL is a name, and each of its accounts is one for some hosts: `app`@`%` and `app`@`10.%` are two.
The accounts of a secret are those that log in by a password of the secret. Another account of the same name
may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from keyturn.rotation.mysql.hashes import NATIVE, PLUGINS, hashed
from keyturn.rotation.mysql.server import Session
from keyturn.rotation.mysql.shown import Created, Grant, account, are_within
from keyturn.rotation.trust import Account, RotationStepError, Unshown

RESERVED: Final = ("mysql.", "mariadb.", "rdsadmin", "rdsrepladmin", "rdsproxyadmin", "rdstopmgr")
"""How the names of the servers' own accounts begin, and those of RDS."""

_NO_ACCOUNT: Final = (
    "no account of the user logs in only by a password of the secret that is stored by one of the methods "
    f"{', '.join(PLUGINS)}"
)
_PRIVILEGED: Final = (
    "one of its users is privileged: it may change accounts, write the database mysql or become another user"
)


class Entry(NamedTuple):
    """An account of the server, and how it is shown."""

    user: str
    host: str
    created: Created

    @property
    def account(self) -> str:
        """The account as it stands in a statement."""
        return account(self.user, self.host)

    @property
    def plugin(self) -> str:
        """The method of its first password."""
        return self.created.methods[0].plugin

    def has(self, known: Sequence[Account]) -> bool:
        """Return True if it logs in by one of these passwords, and by nothing that is not a password."""
        return self.created.has_only(PLUGINS) and any(
            method.fits(one.password) for method in self.created.methods for one in known
        )


class OnlyPassword:
    """Makes the password of AWSPENDING the only one of the user's accounts.

    `known` are accounts of the secret, of one user, whose passwords show that an account is the secret's.
    """

    def __init__(self, session: Session, known: Sequence[Account]) -> None:
        self._session = session
        self._known = known

    def objection(self, user: str, other: str) -> str | None:
        """Return why the secret of `user` must not change the password of `other`; None if it may."""
        entries = _entries(self._session, other, self._known)
        if user != other or not entries:
            return _NO_ACCOUNT
        return _objection(self._session, entries)

    def change(self, current: Account, pending: Account) -> None:  # noqa: ARG002 # AWSPREVIOUS, perhaps
        """Give the accounts their password, and take away a second one."""
        set_only(self._session, _entries(self._session, pending.username, self._known), pending.password)


class BothPasswords:
    """Gives the user's accounts the password of AWSPENDING, and `kept` beside it.

    `known` are accounts of the secret, whose passwords show that an account is the secret's.
    """

    def __init__(self, session: Session, known: Sequence[Account], kept: Account) -> None:
        self._session = session
        self._known = known
        self._kept = kept

    def objection(self, user: str, other: str) -> str | None:
        """Return why the secret of `user` must not change the password of `other`; None if it may."""
        version = self._session.version
        if not version.has_two_passwords:
            return "this server has one password for a user (two: MariaDB since 10.4, MySQL since 8.0.14)"
        entries = _entries(self._session, other, self._known)
        if user != other or not entries:
            return _NO_ACCOUNT
        if version.is_mariadb and any(entry.plugin != NATIVE for entry in entries):
            return f"with two passwords of another method than {NATIVE} some drivers fail at the second"
        return _objection(self._session, entries)

    def change(self, current: Account, pending: Account) -> None:  # noqa: ARG002 # AWSPREVIOUS, perhaps
        """Give the accounts the two passwords. `kept` is accepted at any moment."""
        entries = _entries(self._session, pending.username, self._known)
        if self._session.version.is_mariadb:
            self._set_methods(entries, pending.password)
        else:
            self._retain(entries, pending.password)

    def _set_methods(self, entries: Sequence[Entry], password: str) -> None:
        wanted = list(dict.fromkeys(hashed(NATIVE, one) for one in (password, self._kept.password)))
        clause = "IDENTIFIED VIA " + " OR ".join(f"{NATIVE} USING '{text}'" for text in wanted)
        _alter(
            self._session,
            [
                f"{entry.account} {clause}"
                for entry in entries
                if [method.stored for method in entry.created.methods] != wanted
            ],
        )

    def _retain(self, entries: Sequence[Entry], password: str) -> None:
        """Let MySQL retain the password of AWSCURRENT, and no other one.

        RETAIN keeps the first password as the second one. So the first must be that of AWSCURRENT before,
        also after a rotation that was cancelled. Without RETAIN the second password stays.
        """
        kept = self._kept.password
        others = [entry for entry in entries if not _has_both(entry.created, password, kept)]
        wrong = [entry for entry in others if not entry.created.methods[0].fits(kept)]
        _alter(self._session, [f"{one.account} {_by(self._session, one.plugin, kept)}" for one in wrong])
        _alter(
            self._session,
            [
                f"{one.account} {_by(self._session, one.plugin, password)} RETAIN CURRENT PASSWORD"
                for one in others
            ],
        )


class Clone:
    """Creates or changes the user whose turn it is, with what the current user may do.

    `current` is that of AWSCURRENT. `known` are accounts of the secret of the user whose turn it is. Their
    passwords show that the clone is the secret's, whatever it may do.
    """

    def __init__(self, session: Session, current: Account, known: Sequence[Account]) -> None:
        self._session = session
        self._current = current
        self._known = known

    def objection(self, user: str, other: str) -> str | None:
        """Return why the secret of `user` must not change the password of `other`; None if it may."""
        entries = self._of_current()
        if user != self._current.username or not entries:
            return _NO_ACCOUNT
        clones = self._clones(other, entries)
        objection = _objection(self._session, [*entries, *clones])
        if objection is not None:
            return objection
        for entry in entries:
            own = _grants(self._session, entry)
            for clone in clones:
                is_shown = clone.host != entry.host or clone.has(self._known)
                if not is_shown and not are_within(_grants(self._session, clone), own):
                    return Unshown(
                        "the user whose turn it is has a right that the current user does not have, and "
                        "does not log in by a password of the secret"
                    )
        return None

    def change(self, current: Account, pending: Account) -> None:
        """Create the clone's accounts, give them the grants and default roles, and then the password."""
        entries, run = self._of_current(), self._session.run
        for entry in entries:
            clone = account(pending.username, entry.host)
            by = _by(self._session, entry.plugin, pending.password)
            run(f"CREATE USER IF NOT EXISTS {clone} {by} {entry.created.lasting}")
            for one in self._session.grants(account(current.username, entry.host)):
                if one.privileges != {"USAGE"} or one.options:
                    self._session.give(one, clone)
            if entry.created.default_roles:
                run(f"SET DEFAULT ROLE {entry.created.default_roles} TO {clone}")
        clones = self._clones(pending.username, entries)
        set_only(
            self._session, clones, pending.password, anew=[one for one in clones if one.created.is_expired]
        )

    def _of_current(self) -> list[Entry]:
        return _entries(self._session, self._current.username, [self._current])

    def _clones(self, user: str, entries: Sequence[Entry]) -> list[Entry]:
        """Return the clone's accounts for the hosts of the current user's."""
        hosts = {entry.host for entry in entries}
        return [one for one in _all_entries(self._session, user) if one.host in hosts]


def set_only(session: Session, entries: Sequence[Entry], password: str, anew: Sequence[Entry] = ()) -> None:
    """Make a password the only one of these accounts. Those of `anew` are given it also if they have it."""
    others = [
        one
        for one in entries
        if one in anew or not (one.created.methods and one.created.methods[0].fits(password))
    ]
    if session.version.is_mariadb:
        others += [one for one in entries if len(one.created.methods) > 1 and one not in others]
    _alter(session, [f"{one.account} {_by(session, _plugin_of(one), password)}" for one in others])
    if not session.version.is_mariadb:
        two = [one for one in entries if len(one.created.methods) > 1]
        _alter(session, [f"{one.account} DISCARD OLD PASSWORD" for one in two])


def _plugin_of(entry: Entry) -> str:
    known = [method.plugin for method in entry.created.methods if method.plugin in PLUGINS]
    return known[0] if known else NATIVE


def _alter(session: Session, accounts: Sequence[str]) -> None:
    if accounts:
        session.run(f"ALTER USER {', '.join(accounts)}")


def _by(session: Session, plugin: str, password: str) -> str:
    """Return the clause that gives an account its password. It has the hash only."""
    stored = hashed(plugin, password)
    if session.version.is_mariadb:
        return f"IDENTIFIED VIA {plugin} USING '{stored}'"
    return f"IDENTIFIED WITH '{plugin}' AS '{stored}'"


def _has_both(created: Created, first: str, second: str) -> bool:
    methods = created.methods
    return len(methods) == 2 and methods[0].fits(first) and methods[1].fits(second)


def _all_entries(session: Session, user: str) -> list[Entry]:
    return [Entry(user, host, session.shown(user, host)) for host in session.hosts(user)]


def _entries(session: Session, user: str, known: Sequence[Account]) -> list[Entry]:
    """Return the accounts of the user that log in by a password of the secret."""
    return [entry for entry in _all_entries(session, user) if entry.has(known)]


def _objection(session: Session, entries: Sequence[Entry]) -> str | None:
    if any(entry.user.startswith(RESERVED) for entry in entries):
        return "it names an account of the server's own"
    if any(one.is_powerful for entry in entries for one in _grants(session, entry)):
        return _PRIVILEGED
    return None


def _grants(session: Session, entry: Entry) -> list[Grant]:
    """Return the grants of an account, and of the roles that it can take."""
    found, waiting, seen = list[Grant](), [entry.account], set[str]()
    while waiting:
        grantee = waiting.pop()
        if grantee in seen:
            continue
        seen.add(grantee)
        grants = session.grants(grantee)
        found += grants
        waiting += [role for one in grants for role in one.roles]
    return found


def own_change(session: Session, wanted: Account) -> None:
    """Let the user of the session change its own password. MySQL would take it in clear only.

    Raises `RotationStepError` for MySQL, for an account of another user, and for one that logs in otherwise.
    """
    if not session.version.is_mariadb:
        raise RotationStepError(
            f"secret {wanted.secret_id!r}: MySQL takes the hash of a password only from a user that may "
            "create users; give the strategy a source, and the secret a masterarn"
        )
    ((name,),) = session.ask("SELECT CURRENT_USER()")
    user, _, host = str(name).rpartition("@")
    created = session.shown(user, host)
    if user != wanted.username or not created.has_only(PLUGINS) or len(created.methods) != 1:
        raise RotationStepError(
            f"secret {wanted.secret_id!r}: the server matches the user to an account of another name, or "
            f"that account does not log in by a single password of the methods {', '.join(PLUGINS)}"
        )
    session.run(f"SET PASSWORD = '{hashed(created.methods[0].plugin, wanted.password)}'")
