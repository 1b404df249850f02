"""Distance attention: metrics, each with a slow reference, and exact backends behind one call."""

from infinito.attention.backends.backend import Backend, Request
from infinito.attention.backends.registry import BACKENDS, choose_backend, explain
from infinito.attention.functional import attend_prepared, distance_attention, prepare
from infinito.attention.metrics.table import METRICS
from infinito.attention.reference import reference_attention
from infinito.attention.row_statistics import RowStatistics, call_statistics, row_statistics
from infinito.attention.weight_statistics import attention_statistics

__all__ = [
    "BACKENDS",
    "METRICS",
    "Backend",
    "Request",
    "RowStatistics",
    "attend_prepared",
    "attention_statistics",
    "call_statistics",
    "choose_backend",
    "distance_attention",
    "explain",
    "prepare",
    "reference_attention",
    "row_statistics",
]
