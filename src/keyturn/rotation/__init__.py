"""Rotation functions to build on: the four steps are here, and a strategy makes the changes.

    handler = RotationFunction(SingleUser())          # keyturn.rotation.postgresql

A rotation function that is not keyturn's is wrapped: `handler = announcing(handler)`.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

from keyturn.rotation.announcements import Announce, announcing
from keyturn.rotation.function import RotationFunction, Strategy
from keyturn.rotation.retirement import Retirement, Retires
from keyturn.rotation.trust import RotationStepError

__all__ = [
    "Announce",
    "Retirement",
    "Retires",
    "RotationFunction",
    "RotationStepError",
    "Strategy",
    "announcing",
]
