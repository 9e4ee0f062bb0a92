"""What keyturn measures, and how the measurements reach a metrics hook.

`hook` names the measurements and the protocol of a hook, `outbox` takes measurements to a user's hook, and
`emf` is a hook for CloudWatch. This folder imports `errors`, `runtime` and `model`.
"""

from keyturn.metrics.hook import Metric, Metrics

__all__ = ["Metric", "Metrics"]
