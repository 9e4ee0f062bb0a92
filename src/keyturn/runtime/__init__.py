"""The process and the host that keyturn runs in.

`host` reads clocks, chance and environment variables, `loops` has the pause of a task, `process` knows of
forks and snapshots, and `invocation` how much time a Lambda invocation has left. `locks` and `threads`
withstand signal handlers, `parallel` makes several calls at a time. `logs` names the fields of log records,
`frames` drops what errors leave behind in their frames, `quotes` replaces what they quote, and `dumps`
forbids core dumps. This folder imports `errors` and the standard library only.
"""
