"""The process and the host that keyturn runs in: clocks, chance, environment variables, forks and snapshots.

It imports `keyturn.errors` and `keyturn.metrics`.
"""
