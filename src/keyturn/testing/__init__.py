"""What tests need: rotations driven by hand, their events, in-memory fakes, assertions, pytest fixtures.

The names exported here need only keyturn, and a client where their docstrings say so. The fixtures of
`keyturn.testing.plugin`, which pytest loads by itself, and `keyturn.testing.moto` need the extra `testing`.
`keyturn.testing.embedded`, which runs real servers and cleans up after them, needs the extra `demo`.
"""

from keyturn.testing.assertions import assert_converges, assert_no_refusals
from keyturn.testing.callers import at_once, deployed, twice
from keyturn.testing.events import EventBus, SecretEvents
from keyturn.testing.fakes import (
    FakeClock,
    FakeMarkers,
    FakeParameterStore,
    FakeReports,
    FakeSecretsManager,
    RecordedMetrics,
)
from keyturn.testing.rotating import PasswordServer, RotatingSecret, WrongPasswordError, is_wrong_password
from keyturn.testing.rotation import STEPS, Rotation, RotationError, RotationFunction, Step, StepFunctions
from keyturn.testing.stored import assert_not_stored
from keyturn.testing.trials import TRIALS, RotationSubject, RotationTrial

__all__ = [
    "STEPS",
    "TRIALS",
    "EventBus",
    "FakeClock",
    "FakeMarkers",
    "FakeParameterStore",
    "FakeReports",
    "FakeSecretsManager",
    "PasswordServer",
    "RecordedMetrics",
    "RotatingSecret",
    "Rotation",
    "RotationError",
    "RotationFunction",
    "RotationSubject",
    "RotationTrial",
    "SecretEvents",
    "Step",
    "StepFunctions",
    "WrongPasswordError",
    "assert_converges",
    "assert_no_refusals",
    "assert_not_stored",
    "at_once",
    "deployed",
    "is_wrong_password",
    "twice",
]
