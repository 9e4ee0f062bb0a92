"""Reads of the source: decide what to ask, ask, and decide what the answer means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from keyturn.cache.copies import Basis, Copies
from keyturn.cache.held import HeldStage
from keyturn.cache.holdings import warn_of_evictions
from keyturn.cache.refresh import GONE, after_answer, after_pinned, version_to_pin
from keyturn.cache.service import Services
from keyturn.errors import (
    ClientSetupError,
    ConfigurationError,
    ParameterClientSetupError,
    ParameterUnavailableError,
    SecretDeletedError,
    SecretError,
    SecretNotFoundError,
    UnavailableError,
)
from keyturn.metrics.hook import Metric, Metrics
from keyturn.model.instant import Clock, Instant
from keyturn.model.plain import is_unrun
from keyturn.model.protocols import SecretSource
from keyturn.model.versions import SecretVersion
from keyturn.runtime.frames import without_locals
from keyturn.runtime.threads import is_interruption

_T = TypeVar("_T")

ADVICE_ASYNC: Final = "make its read a plain function"

ADVICE_FOREIGN = "look at the cause: it came out of the client, its credentials or the source"


class ForgottenError(Exception):
    """Everything was forgotten while a read was under way: what it brought may be as old as a snapshot."""


class Reads:
    """Carries out reads, each in the thread that calls. Threads may share it.

    Whatever the source raises is a failed read of that one secret: an error that is not keyturn's own
    becomes an `UnavailableError` raised from it.
    """

    def __init__(
        self,
        source: SecretSource,
        copies: Copies,
        services: Services,
        *,
        clock: Clock,
        key_of: Callable[[str, str], str],
        metrics: Metrics,
    ) -> None:
        self.source = source
        self._copies = copies
        self._services = services
        self._clock = clock
        self._key_of = key_of
        self._metrics = metrics

    def bring(self, secret_id: str, stage: str) -> SecretVersion:
        """Load or refresh this stage, and return what is served then. Raises a `SecretError`."""
        while True:
            try:
                # Another thread's read may have landed just now.
                ready = self._copies.look(secret_id, stage).version
                if ready is not None:
                    return ready
                basis = self._copies.basis(secret_id, stage)
                return self._refresh(secret_id, stage, basis) if basis else self._load(secret_id, stage)
            except ForgottenError:
                continue

    def bring_ahead(self, secret_id: str, held: HeldStage) -> None:
        """Refresh this copy before its time, unless another thread did. Raises a `SecretError`."""
        basis = self._copies.basis(secret_id, held.stage, held)
        if basis is not None:
            try:
                self._refresh(secret_id, held.stage, basis)
            except ForgottenError:
                return

    def _load(self, secret_id: str, stage: str) -> SecretVersion:
        """Make the first read of a stage under this id."""
        begun, generation = self._copies.now(), self._copies.generation(secret_id)
        invalidations = self._copies.invalidations
        try:
            version = self._read(secret_id, stage)
            self._must_be_about(secret_id, version)
        except SecretError as error:
            self._copies.remember_failure(secret_id, stage, error)
            raise
        if self._copies.invalidations != invalidations:
            # Perhaps of this id: then the answer is from before it, and the next use asks again.
            generation -= 1
        landed = self._copies.land_first(secret_id, HeldStage(stage, version, begun, generation))
        warn_of_evictions(self._copies.holdings)
        return landed

    def _refresh(self, secret_id: str, stage: str, basis: Basis) -> SecretVersion:
        """Ask about a held stage: the marker's version if there is a reason to, and then the stage."""
        held, asked = basis.held, basis.asked
        try:
            wanted = version_to_pin(held, basis.marker, asked.limits)
            pinned = self._read_pinned(basis.ask_by, stage, wanted) if wanted is not None else None
            found = after_pinned(held, pinned, asked)
            if found is None:
                answer = self._read(basis.ask_by, stage)
                found = after_answer(held, basis.marker, answer, asked, pinned)
        except SecretError as error:
            return self._copies.serve_despite(secret_id, basis.secret, held, error)
        self.judge(basis, found, reads=1 if wanted is None else 2)
        landed = self._copies.land_refresh(secret_id, basis, found)
        warn_of_evictions(self._copies.holdings)
        return landed

    def judge(self, basis: Basis, found: HeldStage, *, reads: int) -> None:
        """Count so many reads of a secret if its marker has caused them and they changed nothing."""
        allowance = self._copies.tables.allowance(basis.secret.key)
        now_s = self._clock.monotonic()
        # One read may have used up the allowance under which several stages of a secret were found due.
        marker = basis.marker or self._copies.marker(basis.secret)
        judged = allowance.judge(basis.secret.key, marker, basis.held, found, reads=reads, now_s=now_s)
        for _ in range(judged.in_vain):
            self._metrics.record(Metric.READS_IN_VAIN, 1, secret=basis.secret.name)
        if judged.is_held_off:
            self._metrics.record(Metric.MARKERS_HELD_OFF, 1, secret=basis.secret.name)

    def _read_pinned(self, secret_id: str, stage: str, version_id: str) -> SecretVersion | None:
        """Read the marker's version. Return None if the service answers that it gives no such version.

        Whatever is wrong with that version may be the marker's fault, so only the stage can tell. A deletion
        is that of the secret.
        """
        try:
            return self._read(secret_id, stage, version_id)
        except SecretError as error:
            if not is_answer(error) or isinstance(error, SecretDeletedError):
                raise
            return None

    def _read(self, secret_id: str, stage: str, version_id: str | None = None) -> SecretVersion:
        """Read the source once. Raises a `SecretError`, or `ForgottenError` in the place of any outcome."""
        return self.request(
            lambda: self.source.read(secret_id, stage=stage, version_id=version_id), secret_id
        )

    def request(self, ask: Callable[[], _T], secret_id: str) -> _T:
        """Make one request, about this secret or about several, and measure it."""
        service = self._services.of(secret_id)
        life, begun, token = self._copies.life, self._copies.now(), service.begin()
        has_answered = False
        try:
            answer = ask()
            if is_unrun(answer):
                raise self._setup_error(  # noqa: TRY301 # it is measured as any failed read
                    secret_id, "the source is async, and nobody awaits it", ADVICE_ASYNC
                )
            has_answered = True
        except BaseException as raised:
            if is_interruption(raised):
                raise
            without_locals(raised)
            error = self.as_failed_read(raised, secret_id)
            has_answered = is_answer(error)
            self._measure(begun, self._name_of(secret_id), error)
            self._must_be_of(life)
            if error is raised:
                raise
            raise error from raised
        finally:
            service.end(token, answered=has_answered)
        self._measure(begun, answer.name if isinstance(answer, SecretVersion) else "")
        self._must_be_of(life)
        return answer

    def _must_be_of(self, life: int) -> None:
        """Raise `ForgottenError` if everything was forgotten since a read was begun in that life."""
        if self._copies.life != life:
            raise ForgottenError

    def _measure(self, begun: Instant, secret: str, error: SecretError | None = None) -> None:
        """Record a request that was begun then and has just ended, with this error if it failed."""
        took_s = self._clock.monotonic() - begun.monotonic_s
        kind = "" if error is None or isinstance(error, GONE) else type(error).__name__
        self._metrics.record(Metric.READ_S, took_s, secret=secret, error=kind)
        if kind:
            self._metrics.record(Metric.READS_FAILED, 1, secret=secret, error=kind)

    def as_failed_read(self, error: BaseException, secret_id: str) -> SecretError:
        """Return the error as that of one secret: whatever a source raises is a failed read, of any class."""
        if isinstance(error, SecretError):
            return error if type(error).__init__ is SecretError.__init__ else own_error(error, secret_id)
        if isinstance(error, ConfigurationError):
            return self._setup_error(secret_id, str(error))
        return self._copies.unavailable(secret_id, said_of(error), advice=ADVICE_FOREIGN)

    def _setup_error(self, secret_id: str, detail: str, advice: str | None = None) -> SecretError:
        is_parameter = issubclass(self._copies.unavailable, ParameterUnavailableError)
        kind = ParameterClientSetupError if is_parameter else ClientSetupError
        return kind(secret_id, detail, advice=advice)

    def _name_of(self, secret_id: str) -> str:
        """Return the secret's own name, or nothing as long as no answer has told it."""
        secret = self._copies.holdings.secret(secret_id)
        return secret.name if secret is not None else ""

    def _must_be_about(self, secret_id: str, version: SecretVersion) -> None:
        """Raise unless an ARN, full or partial, is answered by its own secret."""
        own = (version.arn, self._key_of(version.arn, version.name))
        if secret_id.startswith("arn:") and secret_id not in own:
            raise SecretNotFoundError(secret_id, f"the answer was about {version.arn}")


def own_error(error: SecretError, secret_id: str) -> SecretError:
    """Return an error of a source's own class as one of the nearest class here.

    Its class may take any arguments, so that no second error of it can be made.
    """
    kinds = (one for one in type(error).__mro__ if issubclass(one, SecretError))
    kind = next(one for one in kinds if one.__module__ == SecretError.__module__)
    detail, advice = getattr(error, "detail", ""), getattr(error, "advice", None)
    return kind(secret_id, detail or type(error).__name__, advice=advice)


def said_of(error: BaseException) -> str:
    """Return what is said of an error that is not keyturn's own. Its text may quote anything."""
    return f"the source raised {type(error).__name__}"


def is_answer(error: SecretError) -> bool:
    """Return True if the service answered: an error other than 'could not be read now' is an answer."""
    return not isinstance(error, UnavailableError)
