"""What the cache gives without a wait: for tasks of an event loop, which must not wait as threads do.

The decisions are those of `Cache.get`. Nothing in here makes a request.
"""

from __future__ import annotations

from keyturn.cache.cache import Cache
from keyturn.model.versions import SecretVersion


def at_once(cache: Cache, secret_id: str, stage: str) -> SecretVersion | None:
    """Return what `Cache.get` returns without a wait; None if it would wait for a read, or begin one.

    Raises what the last cold read raised, if that was a moment ago.
    """
    look = cache.copies.look(secret_id, stage)
    if look.version is not None or look.spare is None:
        return look.version
    if cache.is_refreshed_ahead(stage, look):
        cache.copies.spare_hit(secret_id, stage)
        return look.spare
    # While the service rests, a read that hangs does not keep the next probe from being made.
    service = cache.service_of(secret_id)
    is_being_read = service.rest is None and cache.flights.find(look.key) is not None
    may_be_read = service.may_probe(cache.copies.now())
    return look.spare if is_being_read or not may_be_read else None


def meanwhile(cache: Cache, secret_id: str, stage: str) -> SecretVersion | None:
    """Return the copy that may be served while another caller has it read, or None where there is none.

    Raises what the last cold read raised, if that was a moment ago.
    """
    look = cache.copies.look(secret_id, stage)
    return look.version or look.spare
