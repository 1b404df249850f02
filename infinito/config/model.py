"""The schemas of the `model` group."""

from __future__ import annotations

from dataclasses import dataclass, field

from infinito.config.limits import limited
from infinito.config.memory import MemoryConf


@dataclass
class ModelConf:
    """Settings of every language model."""

    name: str = ""
    """The kind of model, set by `model=…`."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    memory: MemoryConf = field(default_factory=MemoryConf)
    """The block between trunk and head, chosen by `memory=`."""


@dataclass
class DistanceLMConf(ModelConf):
    """A causal language model with distance attention (`infinito.models.distance_lm.model`)."""

    name: str = "distance_lm"
    dim: int = limited(128, at_least=1)
    """Width of the hidden states."""
    layers: int = limited(4, at_least=1)
    """Blocks."""
    mlp_ratio: float = limited(4.0, above=0)
    """Width of the feed-forward layer over `dim`."""
    position: str = limited("rotary", choices=("rotary", "learned"))
    """How positions enter the model."""
    max_positions: int = limited(128, at_least=1)
    """Longest sequence the model is made for."""
    dropout: float = limited(0.0, at_least=0, below=1)
    """Dropout on embeddings and residual branches."""
    tie_embeddings: bool = True
    """The head shares the embedding's weights."""
    zero_init_residual: bool = False
    """Layers that add to the residual stream start at zero: each block starts as the identity."""
    bigram_embeddings: int = limited(0, at_least=0)
    """Rows of a hashed table of embeddings for pairs of neighbouring tokens; 0 for none."""
    value_embeddings: bool = False
    """Tokens have a second embedding, which each layer mixes into its values."""


@dataclass
class LoraConf:
    """Low-rank adapters (`infinito.models.pretrained.lora`)."""

    rank: int = limited(8, at_least=1)
    """Width of an adapter."""
    alpha: float = limited(16.0, above=0)
    """An adapter's output is multiplied by alpha / rank."""
    dropout: float = limited(0.0, at_least=0, below=1)
    """Dropout on the adapters' inputs."""
    target_modules: list[str] = limited(["all-linear"])
    """Last names of the layers that get one, or `all-linear`: all but the head."""


@dataclass
class PretrainedConf(ModelConf):
    """Any Hugging Face causal language model (`infinito.models.pretrained.opening`)."""

    name: str = "pretrained"
    path: str | None = None
    """Folder with config.json and safetensors, or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; null for its main branch. Runs record the commit."""
    dtype: str = limited("float32", choices=("float32", "bfloat16", "float16"))
    """Dtype of its weights; adapters are float32."""
    trainable: str = limited("lora", choices=("lora", "memory", "all"))
    """What trains: adapters and a memory block, that block alone, or every weight; in any case a
    learned λ."""
    lora: LoraConf = field(default_factory=LoraConf)
