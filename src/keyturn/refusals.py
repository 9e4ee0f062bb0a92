"""Which errors of drivers and HTTP clients mean "wrong credentials"; see `is_refused`."""

from keyturn.login.refusal import Refusal
from keyturn.login.refusals import HTTP_FORBIDDEN, REFUSALS, any_of, is_refused

__all__ = ["HTTP_FORBIDDEN", "REFUSALS", "Refusal", "any_of", "is_refused"]
