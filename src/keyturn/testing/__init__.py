"""What tests and demonstrations need: AWS's rotation by hand, and servers that leave nothing behind.

`Rotation` needs nothing but a client. `keyturn.testing.moto` needs moto, and
`keyturn.testing.embedded` the packages of the extra `demo`.
"""

from keyturn.testing.rotation import STEPS, Rotation, RotationError, RotationFunction, Step, StepFunctions

__all__ = ["STEPS", "Rotation", "RotationError", "RotationFunction", "Step", "StepFunctions"]
