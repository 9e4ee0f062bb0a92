"""What tests and demonstrations need: AWS's rotation by hand, and servers that leave nothing behind.

`keyturn.testing.rotation` needs nothing but a client; `keyturn.testing.moto` needs moto and
`keyturn.testing.embedded` the packages of the extra `testing`.
"""
