"""Logging in through a rotation: which version to try next, and which errors mean "wrong credentials".

It imports `errors`, `model`, `metrics` and, for its limits and evidence, `cache`.
"""

from keyturn.login.logins import Attempt, LoginOptions, same_host, same_host_and_user

__all__ = ["Attempt", "LoginOptions", "same_host", "same_host_and_user"]
