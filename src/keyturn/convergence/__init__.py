"""The convergence table: which environments hold which versions.

`reporter` reports what this process holds, `table` writes and reads the reports, and `counting` decides when
to report and counts the reports. This folder imports `errors`, `runtime`, `model`, `aws` and `cache`.
"""
