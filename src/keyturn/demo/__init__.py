"""The demonstration: a fleet of warm processes, a rotating password, and the time until each notices.

`python -m keyturn.demo` runs it, in a checkout, with the packages of the extra `demo`.
"""
