"""The cache: what this process holds, how long a copy is fresh, and which thread refreshes it.

Decisions are pure functions (`freshness`, `refresh`); `cache` and `checker` carry them out and do all I/O
through protocols of `keyturn.model`. It imports `errors`, `model`, `metrics` and parts of
`runtime`, and no AWS package.
"""
