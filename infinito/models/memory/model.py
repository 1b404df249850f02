"""A causal LM with an integration memory between trunk and head, native to transformers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Cache,
    DynamicCache,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

import infinito.models.distance_lm.model  # noqa: F401  (a saved memory may hold a DistanceLM)
from infinito.attention.watching import Calls, row_entropy
from infinito.config.memory import MemoryConf, memory_faults
from infinito.errors import ConfigError
from infinito.models.memory.memory import IntegrationMemory
from infinito.models.memory.segments import cut_segments
from infinito.models.observation.watching import last_call, trunk_of, watched_layers
from infinito.objectives.phi import WEIGHTS


class MemoryLMConfig(PreTrainedConfig):
    """The config of a causal LM and of the memory around it.

    An attribute that this class lacks is read from the causal LM's config.

    Fields:
        causal_lm: config of the language model, with its `model_type`.
        memory: values of a `MemoryConf`.
        component_weights: weights of the four components of Φ in the priority of a slot.
        learned_weights: whether the language loss trains these weights.

    Raises:
        ConfigError: values of the memory that do not fit together.
    """

    model_type = "memory_lm"
    sub_configs = {"causal_lm": AutoConfig}  # noqa: RUF012

    causal_lm: dict[str, Any] | PreTrainedConfig | None = None
    memory: dict[str, Any] | None = None
    component_weights: list[float] | tuple[float, ...] = WEIGHTS
    learned_weights: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.causal_lm, dict):
            values = dict(self.causal_lm)
            self.causal_lm = AutoConfig.for_model(values.pop("model_type"), **values)
        if faults := memory_faults(self.settings):
            raise ConfigError(faults)
        chosen = getattr(self.causal_lm, "_attn_implementation", None)
        super().__post_init__(**{"attn_implementation": chosen, **kwargs})

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("causal_lm")
        if inner is None or name.startswith("__"):
            raise AttributeError(name)
        return getattr(inner, name)

    @property
    def settings(self) -> MemoryConf:
        """The memory's settings."""
        return MemoryConf(**(self.memory or {}))

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """Return the language model's config, which sizes the cache."""
        return self.causal_lm.get_text_config(*args, **kwargs)  # type: ignore[union-attr]


class MemoryLMForCausalLM(PreTrainedModel, GenerationMixin):
    """A Hugging Face causal LM, `causal_lm`, with a memory between its trunk and its head."""

    config: MemoryLMConfig
    config_class = MemoryLMConfig
    base_model_prefix = "causal_lm"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: MemoryLMConfig, causal_lm: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        inner = config.causal_lm
        if causal_lm is None:
            causal_lm = AutoModelForCausalLM.from_config(inner, trust_remote_code=False)
        self.causal_lm = causal_lm
        dim = inner.get_text_config().hidden_size  # type: ignore[union-attr]
        self.memory = IntegrationMemory(
            dim, config.settings, tuple(config.component_weights), config.learned_weights
        )
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise nothing: constructors have, and a given language model keeps its weights."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the token embedding."""
        return self.causal_lm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        head: nn.Module = self.causal_lm.get_output_embeddings()
        return head

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the inputs that the language model itself prepares for `generate`."""
        inputs: dict[str, Any] = self.causal_lm.prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[operator]
        return inputs

    def forward(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> CausalLMOutputWithPast:
        """Return the language model's own output; arguments are its own."""
        with watched_layers(self.causal_lm) as calls:

            def add_memory(_: nn.Module, __: Any, output: Any) -> Any:
                output.last_hidden_state = self.integrate(
                    output.last_hidden_state, output.get("past_key_values"), attention_mask, calls
                )
                return output

            handle = trunk_of(self.causal_lm).register_forward_hook(add_memory)
            try:
                output: CausalLMOutputWithPast = self.causal_lm(
                    input_ids=input_ids, attention_mask=attention_mask, **kwargs
                )
                return output
            finally:
                handle.remove()

    def integrate(
        self, hidden: Tensor, cache: Cache | None, attention_mask: Tensor | None, calls: Calls
    ) -> Tensor:
        """Return the trunk's states with what they read from the memory, (batch, time, dim).

        Raises:
            ConfigError: a cache that cannot hold the states, or a mask of four axes.
        """
        if attention_mask is not None and attention_mask.ndim != 2:
            raise ConfigError(
                f"a memory takes a padding mask (batch, time), not {tuple(attention_mask.shape)}"
            )
        if attention_mask is not None and attention_mask.all():
            attention_mask = None
        segment, new = self.memory.settings.segment, hidden.shape[1]
        layer = None if cache is None else state_layer(cache)
        before = 0 if layer is None else layer.get_seq_length()
        breadth = self.measure_breadth(hidden, attention_mask, before, calls)  # (batch, new)
        history = hidden
        if layer is not None:
            states, breadths = layer.update(hidden[:, None], breadth[:, None, :, None])
            history, breadth = states[:, 0], breadths[:, 0, :, 0]  # (batch, before + new, …)
        segments = cut_segments(history, breadth, attention_mask, new, segment)
        mixed: Tensor = self.memory(hidden, segments)
        return mixed

    @torch.no_grad()
    def measure_breadth(
        self, hidden: Tensor, real: Tensor | None, before: int, calls: Calls
    ) -> Tensor:
        """Return the entropy of the last layer's attention at the last token of each segment.

        Args:
            hidden: States of the new tokens, (batch, time, dim).
            real: (batch, before + time), nonzero for a real token, or None.
            before: Tokens in the cache.

        Returns:
            (batch, time), 0 for a token that ends no segment.
        """
        batch, new, _ = hidden.shape
        segment = self.memory.settings.segment
        found = hidden.new_zeros(batch, new, dtype=torch.float32)
        padding = 0 if real is None else real.bool().int().argmax(1)  # on the left, (batch,)
        first = torch.as_tensor(before - padding, device=hidden.device).expand(batch)
        ends = torch.arange(segment - 1, new + segment, segment, device=hidden.device)
        rows = ends - (first % segment)[:, None]  # (batch, segments)
        inside = (rows >= 0) & (rows < new)
        rows = rows.clamp(0, new - 1)
        entropy = row_entropy(last_call(calls), rows).float() * inside  # (batch, segments)
        # Rows outside were moved onto others: their 0 must not replace an entropy.
        return found.scatter_reduce(1, rows, entropy, "amax")


def with_memory(
    model: PreTrainedModel,
    memory: MemoryConf,
    component_weights: tuple[float, ...] = WEIGHTS,
    learned_weights: bool = False,
) -> MemoryLMForCausalLM:
    """Return a causal LM with a memory around it, which shares the LM's weights.

    The memory's start values come from torch's generator.

    Raises:
        ConfigError: values of the memory that do not fit together.
    """
    config = MemoryLMConfig(
        causal_lm=model.config,
        memory=asdict(memory),
        component_weights=list(component_weights),
        learned_weights=learned_weights,
    )
    return MemoryLMForCausalLM(config, model)


def state_layer(cache: Cache) -> DynamicLayer:
    """Return the layer of a cache that holds the trunk's states; the first call appends it.

    Standing behind the attention layers, it is reordered for beams and cropped as they are.

    Raises:
        ConfigError: the cache has a fixed length.
    """
    if not isinstance(cache, DynamicCache):
        raise ConfigError(
            f"a memory needs a cache that grows, and {type(cache).__name__} does not. "
            "Leave out `cache_implementation`"
        )
    if not isinstance(cache.layers[-1], StateLayer):
        cache.layers.append(StateLayer())
        cache.layer_class_to_replicate = None
    return cache.layers[-1]  # type: ignore[return-value]


class StateLayer(DynamicLayer):
    """Hidden states as keys (batch, 1, time, dim), entropies as values (batch, 1, time, 1)."""


AutoConfig.register("memory_lm", MemoryLMConfig, exist_ok=True)
AutoModelForCausalLM.register(MemoryLMConfig, MemoryLMForCausalLM, exist_ok=True)
