"""The former home of `EmfMetrics`, which is in `keyturn.metrics.emf`."""

from keyturn.metrics.emf import EmfMetrics

__all__ = ["EmfMetrics"]
