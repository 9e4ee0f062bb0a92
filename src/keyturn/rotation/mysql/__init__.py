"""Rotation of MySQL and MariaDB passwords: of one user, of two users in turn, or of one with two passwords.

The server gets a hash of the password, made here, so that no log and no binlog has the password. Secrets have
the fields that AWS gives a database secret. Connections use TLS, and verify the server's certificate.
`keyturn.rotation.trust` has the checks by which a secret's value cannot turn a function against other
accounts or servers.

What only MySQL has (`RETAIN CURRENT PASSWORD`, `caching_sha2_password`) is made after its documentation, and
was tried on no server.
"""

from keyturn.rotation.mysql.strategies import AlternatingUsers, SingleUser, TwoPasswords

__all__ = ["AlternatingUsers", "SingleUser", "TwoPasswords"]
