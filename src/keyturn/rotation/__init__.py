"""Rotation functions to build on: the four steps here, what they change behind a protocol.

    handler = RotationFunction(SingleUser())          # keyturn.rotation.postgresql

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

from keyturn.rotation.function import Announce, RotationFunction, RotationStepError, Strategy

__all__ = ["Announce", "RotationFunction", "RotationStepError", "Strategy"]
