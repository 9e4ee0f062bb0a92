"""The convergence table: which environments hold which versions.

`reporter` says what this process holds, `table` writes and reads it, `counting` adds it up. It imports
`errors`, `model`, `metrics`, `aws` and `cache`.
"""
