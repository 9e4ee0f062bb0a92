"""Rotation functions to build on: the four steps are here, and a strategy makes the changes.

    handler = RotationFunction(SingleUser())          # keyturn.rotation.postgresql

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

from keyturn.rotation.function import Announce, RotationFunction, Strategy
from keyturn.rotation.trust import RotationStepError

__all__ = ["Announce", "RotationFunction", "RotationStepError", "Strategy"]
