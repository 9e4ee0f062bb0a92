"""The function answers through every step of a rotation."""

import orders

from keyturn.testing import assert_converges, is_wrong_password


def test_the_function_works_through_a_rotation(keyturn_rotating_secret, keyturn_cache, monkeypatch):
    """No login fails at any step, and the new password is in use within one check interval."""
    secret = keyturn_rotating_secret("prod/db")
    monkeypatch.setattr(orders, "cache", keyturn_cache)
    monkeypatch.setattr(orders, "connect", secret.server.log_in)
    monkeypatch.setattr(orders, "is_refused", is_wrong_password)
    rotation = secret.rotation()
    for step in (lambda: None, rotation.create, rotation.set, rotation.test, rotation.finish):
        step()
        assert orders.handler({}, None) == {"user": "app"}
    assert assert_converges(keyturn_cache, secret, within_s=5) <= 5
    assert secret.server.logins[-1] == rotation.version_id
