"""Which errors of database drivers and HTTP clients mean "wrong credentials"; see `is_refused`."""

from keyturn.login.refusals import REFUSALS, Refusal, any_of, is_refused

__all__ = ["REFUSALS", "Refusal", "any_of", "is_refused"]
