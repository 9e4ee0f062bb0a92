"""What MySQL and MariaDB store of a password, made on this side: no statement has the password.

`mysql_native_password` and `ed25519` have one hash for a password, `caching_sha2_password` one for each salt.
The hash of the latter is Ulrich Drepper's SHA-crypt with 5,000 rounds and a salt of 20 characters:
https://www.akkadia.org/drepper/SHA-crypt.txt
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1, sha256, sha512
from typing import Final, NamedTuple

from keyturn.errors import ConfigurationError
from keyturn.runtime.host import system_random

NATIVE: Final = "mysql_native_password"
ED25519: Final = "ed25519"
SHA2: Final = "caching_sha2_password"

PLUGINS: Final = (NATIVE, ED25519, SHA2)
"""The methods whose hashes are known here."""

_SHA2_PREFIX: Final = "$A$005$"
_SHA2_ROUNDS: Final = 5000
"""MySQL's `caching_sha2_password_digest_rounds`, whose default the prefix names in thousands."""

_SHA2_BYTES_MAX: Final = 256
"""MySQL refuses a longer password for this method, and hashing it here would take long."""

_SALT_LENGTH: Final = 20
_DIGEST_LENGTH: Final = 43
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Method(NamedTuple):
    """A way of logging in to an account, and what the server stores for it."""

    plugin: str
    stored: str

    def __repr__(self) -> str:
        return f"Method({self.plugin!r}, ...)"

    def fits(self, password: str) -> bool:
        """Return True if the server stores this for the password. An unknown method fits nothing.

        Raises `ConfigurationError` for ed25519 without PyNaCl.
        """
        if self.plugin == NATIVE:
            expected = _native(password)
        elif self.plugin == ED25519:
            expected = _ed25519(password)
        elif self.plugin == SHA2 and (salt := _salt_of(self.stored)) is not None and _is_short(password):
            expected = _sha2(password, salt)
        else:
            return False
        return hmac.compare_digest(expected.encode(), self.stored.encode())


def hashed(plugin: str, password: str, random: Callable[[], float] = system_random) -> str:
    """Return the hash to store for a password. It is printable and has no quote and no backslash.

    `plugin` is one of `PLUGINS`. `random` draws the salt, in [0, 1). Raises `ConfigurationError` for ed25519
    without PyNaCl, and for a password that is too long for caching_sha2_password.
    """
    if plugin == NATIVE:
        return _native(password)
    if plugin == ED25519:
        return _ed25519(password)
    if not _is_short(password):
        raise ConfigurationError(f"{SHA2} takes passwords of at most {_SHA2_BYTES_MAX} bytes")
    return _sha2(password, "".join(_ALPHABET[int(random() * len(_ALPHABET))] for _ in range(_SALT_LENGTH)))


def sha_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """Return the 43 characters of SHA-crypt with SHA-256. Unlike in the specification a salt is not cut."""
    size = len(password)
    alternate = sha256(password + salt + password).digest()
    mixed = sha256(password + salt + _repeated(alternate, size))
    bits = size
    while bits:
        mixed.update(alternate if bits & 1 else password)
        bits >>= 1
    state = mixed.digest()
    word = _repeated(sha256(password * size).digest(), size)
    grain = _repeated(sha256(salt * (16 + state[0])).digest(), len(salt))
    for number in range(rounds):
        is_odd = number % 2
        step = sha256(word if is_odd else state)
        if number % 3:
            step.update(grain)
        if number % 7:
            step.update(word)
        step.update(state if is_odd else word)
        state = step.digest()
    return _encoded(state)


def _native(password: str) -> str:
    return "*" + sha1(sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324 # the server's method


def _ed25519(password: str) -> str:
    try:
        from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp as multiplied
    except ImportError:
        raise ConfigurationError(
            "an account has the method ed25519, which needs PyNaCl: pip install 'PyMySQL[ed25519]'"
        ) from None
    scalar = bytearray(sha512(password.encode()).digest()[:32])
    scalar[0] &= 248
    scalar[31] = (scalar[31] & 127) | 64
    return b64encode(multiplied(bytes(scalar))).decode().rstrip("=")


def _is_short(password: str) -> bool:
    return len(password.encode()) <= _SHA2_BYTES_MAX


def _salt_of(stored: str) -> str | None:
    """Return the salt of a stored hash; None if it is no such hash, or one with other rounds."""
    salt = stored[len(_SHA2_PREFIX) : -_DIGEST_LENGTH]
    is_whole = stored.startswith(_SHA2_PREFIX) and stored.isascii() and len(salt) == _SALT_LENGTH
    return salt if is_whole else None


def _sha2(password: str, salt: str) -> str:
    return f"{_SHA2_PREFIX}{salt}{sha_crypt(password.encode(), salt.encode(), _SHA2_ROUNDS)}"


def _repeated(block: bytes, size: int) -> bytes:
    return (block * (size // len(block) + 1))[:size]


def _encoded(state: bytes) -> str:
    """Return the digest in the order of bytes, and the alphabet, of the specification."""
    text, order = "", (0, 10, 20)
    for _ in range(10):
        first, second, third = order
        text += _letters(state[first] << 16 | state[second] << 8 | state[third], 4)
        order = (third + 1, first + 1, second + 1)
    return text + _letters(state[31] << 8 | state[30], 3)


def _letters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 6 * place & 63] for place in range(count))
