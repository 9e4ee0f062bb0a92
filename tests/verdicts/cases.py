"""What is tried: a server in some situation, through each of its drivers, and whether that is a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Final

RIGHT: Final = "right-password"
WRONG: Final = "wrong-password"
DATABASE: Final = "app"


@dataclass(frozen=True, slots=True)
class Door:
    """Where and as whom to log in, and what to do then. `word` is what a driver needs beyond that."""

    port: int
    user: str = "app"
    password: str = RIGHT
    database: str = DATABASE
    command: str = ""
    tls: str = ""
    word: str = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """A package, and a function that logs in by it, does what the door says, and leaves."""

    package: str
    log_in: Callable[[Door], object]
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.package

    @property
    def version(self) -> str:
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "of Python"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is wrong, and whether another version of the secret could help: then it is a refusal.

    `why` explains a verdict that one would not expect: mostly the server says the same of two things.
    `only` and `without` name drivers that are tried or left out. `during` holds while each is tried.
    """

    name: str
    door: Door
    refused: bool
    why: str = ""
    only: Sequence[str] = ()
    without: Sequence[str] = ()
    during: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True, slots=True)
class Server:
    """A server in its situations, and the drivers to try."""

    name: str
    drivers: Sequence[Driver]
    situations: Sequence[Situation]
    hidden: dict[str, str] = field(default_factory=dict)

    def cases(self) -> Iterator[tuple[Driver, Situation]]:
        """Yield each driver in each situation that it is to be tried in."""
        for situation in self.situations:
            for driver in self.drivers:
                if driver.title not in situation.without and (
                    not situation.only or driver.title in situation.only
                ):
                    yield driver, situation


__all__ = ["DATABASE", "RIGHT", "WRONG", "Door", "Driver", "Server", "Situation", "replace"]
