"""The demonstration: a fleet of warm processes, a password that rotates, and who notices when.

`python -m keyturn.demo` runs it, in a checkout, with the packages of the extra `demo`.
"""
