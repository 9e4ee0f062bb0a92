"""Ways in which a rotation function is called, each as a rotation function for `Rotation`.

Lambda may deliver an event twice, and Secrets Manager may ask for a step while an earlier call still runs.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Final

from keyturn.testing.rotation import RotationError, RotationFunction

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MEETING_TIMEOUT_S: Final = 30
"""How long callers wait for each other before they call."""


def twice(function: RotationFunction) -> RotationFunction:
    """Return a function that does each step two times in a row. Errors of either call pass through."""

    def called_twice(event: dict[str, str], context: object) -> object:
        # A handler may use its event up.
        function(dict(event), context)
        return function(dict(event), context)

    return called_twice


def at_once(function: RotationFunction, *, callers: int = 2) -> RotationFunction:
    """Return a function that does each step in so many threads, which begin at the same moment.

    It waits until all have ended. A step is done if one of them did it; if all failed, the error of the first
    one is raised.
    """

    def called_at_once(event: dict[str, str], context: object) -> object:
        start = Barrier(callers, timeout=MEETING_TIMEOUT_S)

        def call() -> object:
            start.wait()
            return function(dict(event), context)

        with ThreadPoolExecutor(callers) as threads:
            calls = [threads.submit(call) for _ in range(callers)]
        done = next((one for one in calls if one.exception() is None), calls[0])
        return done.result()

    return called_at_once


def deployed(client: LambdaClient, function_name: str) -> RotationFunction:
    """Return a function that invokes the deployed one, a name or an ARN, and waits until it has ended.

    For accounts whose RotateSecret invokes no function, as an emulator's. Lambda itself makes the context, so
    that of the rotation is not used. Raises `RotationError` with the function's own error.
    """

    def invoke(event: dict[str, str], _context: object) -> object:
        answer = client.invoke(FunctionName=function_name, Payload=json.dumps(event))
        returned: object = json.loads(answer["Payload"].read() or b"null")
        if answer.get("FunctionError"):
            raise RotationError(f"{function_name}: {event['Step']} failed: {_told(returned)}")
        return returned

    return invoke


def _told(error: object) -> str:
    """Return the kind and the message of an error that Lambda reports."""
    if not isinstance(error, dict):
        return "the function reported no error"
    return f"{error.get('errorType')}: {error.get('errorMessage')}"
