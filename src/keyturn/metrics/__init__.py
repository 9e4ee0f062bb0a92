"""What a cache tells those who run it: measurements to a hook, and the fields of its log records.

`hook` says what is measured, `outbox` takes a measurement to the hook, `emf` is a hook for CloudWatch.
This folder imports the standard library only.
"""

from keyturn.metrics.hook import Metric, Metrics

__all__ = ["Metric", "Metrics"]
