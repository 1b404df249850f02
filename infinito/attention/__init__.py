"""Distance attention: metrics, each with a slow reference, and exact backends behind one call."""

from infinito.attention.backend import Backend, Request
from infinito.attention.functional import attend_folded, distance_attention, fold
from infinito.attention.metrics import METRICS
from infinito.attention.reference import reference_attention
from infinito.attention.registry import BACKENDS, choose_backend, explain

__all__ = [
    "BACKENDS",
    "METRICS",
    "Backend",
    "Request",
    "attend_folded",
    "choose_backend",
    "distance_attention",
    "explain",
    "fold",
    "reference_attention",
]
