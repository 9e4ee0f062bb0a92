"""What keyturn measures, and how the measurements reach a metrics hook.

`hook` names the measurements and the protocol of a hook, and `outbox` takes measurements to a user's hook.
`emf` is a hook for CloudWatch, `otel` one for OpenTelemetry. This folder imports `errors`, `runtime` and
`model`.
"""

from keyturn.metrics.hook import Metric, Metrics

__all__ = ["Metric", "Metrics"]
