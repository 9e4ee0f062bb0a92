"""The process and the host that keyturn runs in.

`host` reads clocks, chance and environment variables, `process` knows of forks and snapshots, and `logs`
names the fields of log records. This folder imports `errors` and the standard library only.
"""
