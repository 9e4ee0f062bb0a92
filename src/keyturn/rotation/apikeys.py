"""Rotation of API keys: each rotation issues a key, and revokes the one before the previous.

With `keyturn.rotation.Retirement` the previous one is revoked, too, once nobody holds it.

    handler = RotationFunction(ApiKeys(api))

`api` is yours: `issue`, `test` and `revoke` (`KeyApi`). AWSCURRENT and AWSPREVIOUS both work at any time. So
no request is refused during a rotation, whichever of the two keys it has.

The secret is a JSON object with the key and its id. Other fields stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from keyturn.errors import ConfigurationError, SecretError, SecretFormatError
from keyturn.model.fields import Json
from keyturn.model.plain import plain_methods, ran
from keyturn.model.versions import AWSPREVIOUS, SecretVersion
from keyturn.rotation.issuing import not_revoked
from keyturn.rotation.trust import RotationStepError, without_frames, written

ADVICE_KEY: Final = "store an object with the id and the value of a key, both as texts"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """An API key, and the id by which the API names it. The repr shows the id only."""

    id: str
    value: str = field(repr=False)


class KeyApi(Protocol):
    """An API that issues keys, with an account that may do that.

    Any error of a method ends the step, and Secrets Manager tries the rotation again. In createSecret
    `revoke`, and a `test` before it, may fail without that. An error must not have a key in it. No method may
    be async: nobody would await it.
    """

    def issue(self, token: str) -> IssuedKey:
        """Make a key that works at once.

        `token` is the same if createSecret is repeated after a crash. An API with idempotency keys, or with
        names for keys, takes it, so that it makes one key only.
        """
        ...

    def test(self, value: str) -> str | None:
        """Use the key as a client would. Return its id as the API says it; None if the API refuses the key.

        The answer must come from the API: it shows that a value and an id in a secret belong together.
        """
        ...

    def revoke(self, key_id: str) -> object:
        """Make the API refuse the key. Raise nothing if it is revoked already."""
        ...


class ApiKeys:
    """A strategy with an API that issues keys.

    A key is revoked only if its version has no label any more, if neither AWSCURRENT nor AWSPREVIOUS has its
    id or its value, and if the API says that the version's value is the key of that id. A retirement revokes
    the key of AWSPREVIOUS as well. Nothing is revoked unless the API lets in the key of AWSCURRENT. So
    somebody who may only put values of the secret, and has no key of the API, can have no key revoked.

    `id_field` and `value_field` name the two fields of the secret. The function needs
    `secretsmanager:ListSecretVersionIds` beside the permissions of `RotationFunction`.
    """

    def __init__(self, api: KeyApi, *, id_field: str = "id", value_field: str = "value") -> None:
        if id_field == value_field:
            raise ConfigurationError("id_field and value_field are the same")
        plain_methods(api, ("issue", "test", "revoke"))
        self._api = api
        self._id_field = id_field
        self._value_field = value_field

    def retire(self, known: Sequence[SecretVersion], unlabelled: Iterator[SecretVersion]) -> None:
        """Revoke the keys that none of the `known` has. An error is raised after the other keys are revoked.

        `unlabelled` are versions without a label, and in a retirement AWSPREVIOUS. Raises
        `RotationStepError` if the API refuses the key of AWSCURRENT: then these may be all that work. A key
        that works, of a version whose id is no text, is logged; raises `SecretFormatError` if it is
        AWSPREVIOUS's.
        """
        kept, over = [self._found(version) for version in known], list[IssuedKey]()
        unknown = list[tuple[SecretVersion, SecretFormatError]]()
        for version in unlabelled:
            # What is no object, or has no key, is nothing to revoke.
            with suppress(SecretError):
                lack = self._lack(version)
                if lack is not None:
                    unknown.append((version, lack))
                over.append(self._key(version))
        over = [key for key in over if not _is_one_of(key, kept)]
        if over and not self._is_known(self._key(known[0])):
            raise RotationStepError(
                f"secret {known[0].secret_id!r}: the API does not know the key of AWSCURRENT by its id, so "
                "no other key was revoked; store a key that works"
            )
        failures = [error for error in map(self._revoke, over) if error is not None]
        for version, lack in unknown:
            failure = self._unknown([*kept, *over], version, lack)
            if failure is lack and AWSPREVIOUS not in version.stages:
                # Somebody may have to look at it, but it must not make every retirement fail.
                not_revoked(version.secret_id, lack)
            elif failure is not None:
                failures.append(failure)
        if failures:
            raise failures[0]

    def issue(self, current: SecretVersion, token: str) -> str:
        """Issue a key, and return the fields of `current` with it.

        Raises `SecretFormatError` before that for a key of AWSCURRENT that could never be revoked.
        """
        lack = self._lack(current)
        if lack is not None:
            raise lack
        issued: object = without_frames(lambda: ran(self._api.issue(token), "issue"))
        key_id = getattr(issued, "id", None)
        if not (_is_text(key_id) and _is_text(getattr(issued, "value", None))):
            # A traceback shows the variables of this frame.
            del issued
            self._take_back(current, key_id)
            raise RotationStepError(
                f"secret {current.secret_id!r}: issue() returned an id or a value that is no text"
            )
        key = {self._id_field: key_id, self._value_field: getattr(issued, "value", None)}
        return written({**_document(current), **key})

    def withdraw(self, made: SecretVersion, stored: SecretVersion) -> None:
        """Revoke the key that was issued for `made`, unless it is the one that is stored."""
        key = self._key(made)
        if key.id != self._found(stored).id:
            ran(self._api.revoke(key.id), "revoke")

    def set(self, pending: SecretVersion, known: Sequence[SecretVersion]) -> None:
        """Change nothing: the key works. Raise `RotationStepError` if `issue` did not make AWSPENDING."""
        self._key(pending)
        if not self._is_like(known[0], pending):
            raise RotationStepError(
                f"secret {pending.secret_id!r}: its versions differ in a field that is not of the key"
            )

    def test(self, pending: SecretVersion) -> None:
        """Use the key. Raise `RotationStepError` if the API refuses it, or says that it has another id."""
        key = self._key(pending)
        told = self._told(key)
        if told is None:
            raise RotationStepError(f"secret {pending.secret_id!r}: the API refuses the key of AWSPENDING")
        if told != key.id:
            raise RotationStepError(
                f"secret {pending.secret_id!r}: the API knows the key of AWSPENDING by another id"
            )

    def _lack(self, version: SecretVersion) -> SecretFormatError | None:
        """Return the error for a key without an id, and for an id or a value that is no text; else None.

        None also for a secret that has no key yet. It gets its first.
        """
        found, document = self._found(version), _document(version)
        parts = ((self._id_field, found.id), (self._value_field, found.value))
        lacking = [name for name, text in parts if not text and document.get(name) not in (None, "")]
        if found.value and not found.id:
            lacking = [self._id_field]
        return _lacking(version, lacking) if lacking else None

    def _unknown(
        self, known: Sequence[IssuedKey], version: SecretVersion, lack: SecretFormatError
    ) -> Exception | None:
        """Return what is wrong with a version that has no id or no value.

        None if its key is one of the `known`, or if the API refuses it: then nothing is left to revoke.
        """
        key = self._found(version)
        if _is_one_of(key, known):
            return None
        if not key.value:
            return lack
        try:
            told = self._told(key)
        except Exception as error:  # noqa: BLE001 # raised once the other keys are revoked
            return error
        return None if told is None or any(told == one.id for one in known) else lack

    def _take_back(self, current: SecretVersion, key_id: object) -> None:
        """Revoke a key that cannot be stored: each try would leave another one. A failure is only logged."""
        # The type that is wrong most often.
        told = str(key_id) if isinstance(key_id, int) and not isinstance(key_id, bool) else key_id
        if not isinstance(told, str) or not told:
            not_revoked(current.secret_id, TypeError())
        elif told != self._found(current).id:
            try:
                without_frames(lambda: ran(self._api.revoke(told), "revoke"))
            except Exception as failure:  # noqa: BLE001 # the step fails by its own error
                not_revoked(current.secret_id, failure)

    def _is_known(self, key: IssuedKey) -> bool:
        """Return True if the API says that the value is the key of this id."""
        return self._told(key) == key.id

    def _told(self, key: IssuedKey) -> str | None:
        """Return the id that the API says the value has."""
        return without_frames(lambda: ran(self._api.test(key.value), "test"), key.value)

    def _revoke(self, key: IssuedKey) -> Exception | None:
        """Revoke a key if it still works. Return the error if that fails."""
        try:
            if self._is_known(key):
                without_frames(lambda: ran(self._api.revoke(key.id), "revoke"), key.value)
        except Exception as error:  # noqa: BLE001 # raised once the other keys are revoked
            return error
        return None

    def _key(self, version: SecretVersion) -> IssuedKey:
        """Return the key of a version. Raises `SecretFormatError`."""
        key = self._found(version)
        missing = [
            name for name, text in ((self._id_field, key.id), (self._value_field, key.value)) if not text
        ]
        if missing:
            raise _lacking(version, missing)
        return key

    def _found(self, version: SecretVersion) -> IssuedKey:
        """Return the key of a version, with an empty text for what it has not. Raises `SecretFormatError`."""
        if not isinstance(version.json(), dict):
            raise SecretFormatError(
                version.secret_id, "the value is no JSON object with the id of a key", advice=ADVICE_KEY
            )
        document = _document(version)
        found = document.get(self._id_field), document.get(self._value_field)
        key_id, value = (str(text) if _is_text(text) else "" for text in found)
        return IssuedKey(key_id, value)

    def _is_like(self, current: SecretVersion, pending: SecretVersion) -> bool:
        """Return True if the two versions have the same in all fields but those of the key."""
        of_the_key = {self._id_field, self._value_field}
        first, second = (
            {name: value for name, value in _document(version).items() if name not in of_the_key}
            for version in (current, pending)
        )
        return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)


def _lacking(version: SecretVersion, names: Sequence[str]) -> SecretFormatError:
    return SecretFormatError(
        version.secret_id, f"no text in the field {' and '.join(names)}", advice=ADVICE_KEY
    )


def _is_one_of(key: IssuedKey, keys: Sequence[IssuedKey]) -> bool:
    """Return True if one of the keys has the same id or the same value. An empty text is neither."""
    return any((one.id and one.id == key.id) or (one.value and one.value == key.value) for one in keys)


def _document(version: SecretVersion) -> dict[str, Json]:
    document = version.json()
    return document if isinstance(document, dict) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
