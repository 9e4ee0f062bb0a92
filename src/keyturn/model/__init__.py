"""The values, names and protocols that every other folder speaks of.

A secret's version, a parameter, a marker and an instant are immutable values without I/O; `names` parses
names and ARNs. `protocols` says what the decisions need of the world. This folder imports `errors` and
`runtime`.
"""
