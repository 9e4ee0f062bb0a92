"""Metrics in CloudWatch's embedded metric format; see `EmfMetrics`."""

from keyturn.metrics.emf import EmfMetrics

__all__ = ["EmfMetrics"]
