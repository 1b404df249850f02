"""The schema of the `attention` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited

METRICS = ("dot", "l1", "l2", "sq_l2", "cosine", "linf", "lp")
OWN = "own"
"""The metric's name for the attention that a pretrained model has of itself."""


@dataclass
class AttentionConf:
    """The attention mechanism (`infinito.attention`): `weights = softmax(score)`."""

    metric: str = limited("dot", choices=(*METRICS, OWN))
    """The score: a similarity (dot, cosine) or a negated distance; `own` keeps a model's own."""
    heads: int = limited(4, at_least=1)
    """Query heads; must divide `model.dim`. A pretrained model keeps its own."""
    kv_heads: int | None = limited(None, at_least=1)
    """Key/value heads, null for `heads`; must divide `heads`."""
    scale: float = limited(1.0, above=0)
    """λ, the inverse temperature; its starting value where it is learned."""
    scale_per: str = limited("model", choices=("model", "head"))
    """One λ for all, or one for each head of each layer."""
    learned_scale: bool = False
    """Train λ (kept positive by softplus)."""
    p: float | None = limited(None, at_least=1)
    """The exponent of `metric=lp`, null otherwise."""
    dropout: float = limited(0.0, at_least=0, below=1)
    """Dropout on the attention weights."""
    backend: str = "auto"
    """`auto`, or the name of a backend that must serve."""
