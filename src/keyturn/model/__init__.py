"""The values, names and protocols that every other folder speaks of.

A secret's version, a marker, an instant, a parameter: immutable, parsed, without I/O. This folder imports
`keyturn.errors` and the standard library only.
"""
