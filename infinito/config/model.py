"""The schema of the `model` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class DistanceLMConf:
    """A causal language model with distance attention (`infinito.models.distance_lm`)."""

    name: str = "distance_lm"
    dim: int = limited(128, at_least=1)
    """Width of the hidden states."""
    layers: int = limited(4, at_least=1)
    """Blocks."""
    mlp_ratio: float = limited(4.0, above=0)
    """Width of the feed-forward layer over `dim`."""
    position: str = limited("rotary", choices=("rotary", "learned"))
    """How a token knows its place."""
    max_positions: int = limited(128, at_least=1)
    """Longest sequence the model is made for."""
    dropout: float = limited(0.0, at_least=0, below=1)
    """Dropout on embeddings and residual branches."""
    tie_embeddings: bool = True
    """The head shares the embedding's weights."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
