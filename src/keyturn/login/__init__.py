"""Logging in through a rotation: which version to try next, and which errors mean "wrong credentials".

It imports `errors`, `model` and `metrics`, of `cache` the limits, the evidence and the waiters, and of
`runtime` the locks, log fields, frames, quotes and the invocation.
"""

from keyturn.login.logins import Attempt
from keyturn.login.policy import LoginOptions, Policy, same_host, same_host_and_user

__all__ = ["Attempt", "LoginOptions", "Policy", "same_host", "same_host_and_user"]
