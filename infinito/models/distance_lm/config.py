"""The Hugging Face config of DistanceLM, and the check that its numbers fit together."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from transformers import AutoConfig, PreTrainedConfig

from infinito.attention.backends.backend import Request
from infinito.attention.metrics.table import find_metric, metric_faults
from infinito.errors import ConfigError


class DistanceLMConfig(PreTrainedConfig):
    """Sizes and attention of a DistanceLM, under the names that transformers uses.

    Fields:
        intermediate_size: width of the feed-forward layer; None for 4 × `hidden_size`.
        num_key_value_heads: None for `num_attention_heads`.
        position: "rotary" (Su et al. 2021, RoFormer) or "learned".
        max_position_embeddings: the longest input with learned positions; rotary positions
            continue beyond it.
        metric: a name in `infinito.attention.METRICS`; `p` is the exponent of "lp".
        scale: λ of the scores, its starting value with `learned_scale`.
        scale_per: "model" learns one λ, "head" one for each head of each layer.
        attention_backend: a name in `infinito.attention.BACKENDS`, or "auto".
        dropout: on embeddings and residual branches; `attention_dropout`: on attention weights.
        initializer_range: standard deviation of the embeddings at the start; None for ½/√width.
        initializer_factor: standard deviation of a linear layer's weights, times √inputs.
        zero_init_residual: layers that add to the residual stream start at zero, so that each block
            starts as the identity.
        bigram_embeddings: rows of a table of embeddings for pairs of neighbouring tokens, which are
            added to those of the tokens; 0 for none. A pair's row is a hash of it.
        value_embeddings: tokens have a second embedding, which each layer mixes into its values.

    Raises:
        ConfigError: numbers that do not fit together; all faults at once.
    """

    model_type = "distance_lm"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012  (Trainer adds lists to it)
    auto_map: ClassVar[dict[str, str]] = {}  # TRL reads it where transformers lacks the model

    vocab_size: int = 256
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int | None = None
    intermediate_size: int | None = None
    position: str = "rotary"
    max_position_embeddings: int = 1024
    rotary_base: float = 10_000.0
    metric: str = "l1"
    p: float | int | None = None
    scale: float | int = 1.0
    scale_per: str = "model"
    learned_scale: bool = False
    attention_backend: str = "auto"
    attention_dropout: float | int = 0.0
    dropout: float | int = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float | None = None
    initializer_factor: float = 1.0
    zero_init_residual: bool = False
    bigram_embeddings: int = 0
    value_embeddings: bool = False
    tie_word_embeddings: bool = True
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs: object) -> None:
        self.num_key_value_heads = self.kv_heads
        self.intermediate_size = self.feed_forward_size
        if faults := self.faults():
            raise ConfigError(faults)
        if self.initializer_range is None:
            self.initializer_range = 0.5 / math.sqrt(self.hidden_size)
        super().__post_init__(**kwargs)

    @property
    def head_dim(self) -> int:
        """Features of one head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def kv_heads(self) -> int:
        """Key/value heads."""
        given = self.num_key_value_heads
        return self.num_attention_heads if given is None else given

    @property
    def feed_forward_size(self) -> int:
        """Width of the feed-forward layer."""
        given = self.intermediate_size
        return 4 * self.hidden_size if given is None else given

    @property
    def backend(self) -> str:
        """Name of the attention backend; transformers' "eager" implementation is our reference."""
        return "reference" if self._attn_implementation == "eager" else self.attention_backend

    def attention_request(
        self, batch: int, time: int, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Request:
        """Return the attention request of a training step, e.g. for `infinito.attention.explain`.

        Args:
            batch: sequences. time: tokens in each.
            device: a type such as "cpu" or "cuda". dtype: that of the activations.
        """
        return Request(
            find_metric(self.metric, self.p).KERNEL,
            self.p,
            device,
            dtype,
            dropout_p=self.attention_dropout,
            batch=batch,
            heads=self.num_attention_heads,
            kv_heads=self.kv_heads,
            time_q=time,
            time_k=time,
            dim=self.head_dim,
            value_dim=self.head_dim,
        )

    def faults(self) -> list[str]:
        """Return the settings that do not fit together, one sentence per fault."""
        return [*self._size_faults(), *self._attention_faults()]

    def _size_faults(self) -> list[str]:
        faults = []
        heads, kv_heads, dim = self.num_attention_heads, self.kv_heads, self.hidden_size
        for name, size in (("model.dim", dim), ("attention.heads", heads)):
            if size < 1:
                faults.append(f"`{name}`={size}: expected at least 1.")
        if faults:
            return faults
        if dim % heads:
            faults.append(
                f"`attention.heads`={heads} does not divide `model.dim`={dim}. {_choose(dim)}."
            )
        elif self.position == "rotary" and dim // heads % 2:
            faults.append(
                f"`model.position=rotary` turns pairs of features, but `model.dim`={dim} over "
                f"`attention.heads`={heads} leaves {dim // heads} a head. Choose an even number, "
                "or `model.position=learned`."
            )
        if kv_heads < 1 or heads % kv_heads:
            faults.append(
                f"`attention.kv_heads`={kv_heads} does not divide `attention.heads`={heads}. "
                f"{_choose(heads, 'attention.kv_heads')}."
            )
        if self.bigram_embeddings < 0 or self.bigram_embeddings == 1:
            faults.append(
                f"`model.bigram_embeddings`={self.bigram_embeddings}: expected 0 for none, or at "
                "least 2 rows, e.g. `model.bigram_embeddings=8192`."
            )
        if self.position not in ("rotary", "learned"):
            faults.append(f"`model.position`={self.position!r} is not one of rotary, learned.")
        return faults

    def _attention_faults(self) -> list[str]:
        faults = metric_faults(self.metric, self.p)
        if not 0 < self.scale < float("inf"):
            faults.append(
                f"`attention.scale`={self.scale}: λ must be finite and above 0, e.g. "
                "`attention.scale=1`."
            )
        if self.scale_per not in ("model", "head"):
            faults.append(f"`attention.scale_per`={self.scale_per!r} is not one of model, head.")
        return faults


def _choose(size: int, name: str = "attention.heads") -> str:
    divisors = [count for count in range(1, size + 1) if size % count == 0]
    some = ", ".join(map(str, divisors[:8]))
    example = max(count for count in divisors if count <= 8)
    return f"Choose {some}{' …' if len(divisors) > 8 else ''}, e.g. `{name}={example}`"


AutoConfig.register("distance_lm", DistanceLMConfig, exist_ok=True)
