"""DistanceLM: a small causal language model with distance attention, native to transformers."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    Cache,
    DynamicCache,
    GenerationMixin,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from infinito.models.distance_lm.bigram_embeddings import BigramEmbeddings, previous_tokens
from infinito.models.distance_lm.block import (
    AttentionContext,
    DistanceAttention,
    DistanceBlock,
    LearnedScale,
    ResidualLinear,
)
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.learned_positions import LearnedPositions
from infinito.models.distance_lm.rotary_positions import RotaryPositions
from infinito.models.masks import default_positions, visibility


class DistanceLMPreTrainedModel(PreTrainedModel):
    """Configuration, initialisation and capabilities of the trunk and the language model."""

    config: DistanceLMConfig
    config_class = DistanceLMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["DistanceBlock"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _can_compile_fullgraph = True
    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": DistanceBlock,
        "attentions": DistanceAttention,
    }

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise a module's weights.

        A linear layer keeps the variance of its inputs (LeCun et al. 1998); the 2 · layers of them
        that add to the residual stream start smaller by that number. With GPT-2's initialisation,
        0.02 at every width and the root of 2 · layers, a model of width 128 learns more slowly:
        1.77 nats per character after 2000 steps on tiny Shakespeare instead of 1.65.
        """
        super()._init_weights(module)
        if isinstance(module, nn.Linear) and module is not self.get_output_embeddings():
            std = self.config.initializer_factor / math.sqrt(module.in_features)
            if isinstance(module, ResidualLinear):
                std /= 2 * self.config.num_hidden_layers
                std *= not self.config.zero_init_residual
            init.normal_(module.weight, mean=0.0, std=std)
        elif isinstance(module, BigramEmbeddings):
            init.zeros_(module.weight)
        elif isinstance(module, DistanceAttention) and module.value_mix is not None:
            init.constant_(module.value_mix, 0.5)
        elif isinstance(module, LearnedScale):
            init.copy_(module.raw, module.first_raw().expand_as(module.raw))
        elif isinstance(module, RotaryPositions):
            init.copy_(module.table, module.first_rotations())

    def _resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        resized: nn.Embedding = super()._resize_token_embeddings(*args, **kwargs)
        trunk: Any = self.base_model
        if (old := trunk.value_embeddings) is not None:
            size = resized.num_embeddings
            trunk.value_embeddings = self._get_resized_embeddings(old, size, mean_resizing=False)
        return resized


class DistanceLMModel(DistanceLMPreTrainedModel):
    """The trunk: token ids in, hidden states out."""

    def __init__(self, config: DistanceLMConfig) -> None:
        super().__init__(config)
        dim, places = config.hidden_size, config.max_position_embeddings
        self.embed_tokens = nn.Embedding(config.vocab_size, dim, config.pad_token_id)
        self.bigram_embeddings = None
        if config.bigram_embeddings:
            self.bigram_embeddings = BigramEmbeddings(config.bigram_embeddings, dim)
        self.value_embeddings = None
        if config.value_embeddings:
            features = config.kv_heads * config.head_dim
            self.value_embeddings = nn.Embedding(config.vocab_size, features)
        self.positions: LearnedPositions | RotaryPositions
        if config.position == "learned":
            self.positions = LearnedPositions(places, dim)
        else:
            self.positions = RotaryPositions(config.head_dim, places, config.rotary_base)
        self.scale = None
        if config.learned_scale and config.scale_per == "model":
            self.scale = LearnedScale(1, config.scale)
        self.layers = nn.ModuleList(
            DistanceBlock(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = nn.LayerNorm(dim, config.layer_norm_eps, bias=False)
        self.gradient_checkpointing = False
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        previous_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the hidden states, (batch, time, dim); arguments as in other transformers models.

        Args:
            previous_ids: the token before each, (batch, time), for bigram embeddings: required
                behind a cache that holds tokens.

        Raises:
            ValueError: not exactly one of input_ids and inputs_embeds, or the latter where tokens
                have value or bigram embeddings; no previous_ids where they are required.
            ConfigError: the input is longer than the learned positions.
        """
        config = self.config
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("expected exactly one of input_ids and inputs_embeds.")
        if input_ids is None and (self.value_embeddings or self.bigram_embeddings):
            raise ValueError(
                "expected input_ids, not inputs_embeds: tokens have value or bigram embeddings."
            )
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        # (batch, time, dim)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=config)
        batch, time, _ = hidden.shape
        visible = visibility(
            attention_mask, position_ids, past_key_values, batch, time, hidden.device
        )
        start = 0 if past_key_values is None else past_key_values.get_seq_length()
        if self.bigram_embeddings is not None and input_ids is not None:
            if previous_ids is None:
                if start:
                    raise ValueError(
                        "expected previous_ids: bigram embeddings need the token before each of "
                        "the input, and the cache holds no tokens."
                    )
                previous_ids = previous_tokens(input_ids, attention_mask, position_ids)
            hidden = hidden + self.bigram_embeddings.embed(input_ids, previous_ids)
        if position_ids is None:
            padded = visible is not None and attention_mask is not None and attention_mask.ndim == 2
            padding = attention_mask if padded else None
            position_ids = default_positions(padding, start, time, hidden.device)
        hidden, rotation = self.positions(hidden, position_ids, start)
        # rotation: (batch or 1, time, 1, head_dim / 2, 2), None with learned positions
        if config.dropout and self.training:
            hidden = dropout(hidden, config.dropout)
        context = AttentionContext(
            rotation=rotation,
            visible=visible,
            token_values=self._token_values(input_ids),
            scale=config.scale if self.scale is None else self.scale,
            backend=config.backend,
            output_attentions=bool(kwargs.get("output_attentions", config.output_attentions)),
        )
        for layer in self.layers:
            hidden = layer(hidden, context, past_key_values=past_key_values)
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden), past_key_values=past_key_values
        )

    def _token_values(self, input_ids: Tensor | None) -> Tensor | None:
        """Return the tokens' value embeddings, (batch, time, kv_heads, head_dim)."""
        if input_ids is None or self.value_embeddings is None:
            return None
        embedded = self.value_embeddings(input_ids)
        values: Tensor = embedded.unflatten(-1, (-1, self.config.head_dim))
        return values


class DistanceLMForCausalLM(DistanceLMPreTrainedModel, GenerationMixin):
    """The trunk with a language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: DistanceLMConfig) -> None:
        super().__init__(config)
        self.model = DistanceLMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        previous_ids: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits (batch, time, vocab) and, with labels, the mean loss in nats per token.

        Args:
            previous_ids: as the trunk's.
            labels: (batch, time), the input ids themselves: they are shifted here; −100 is ignored.
            logits_to_keep: logits of so many last positions only, 0 for all; or which positions.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            previous_ids=previous_ids,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(outputs.last_hidden_state, logits_to_keep))
        # (batch, kept time, vocab)
        loss = None
        if labels is not None:
            vocab = self.config.vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocab, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, *args: Any, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the inputs of a step of `generate`: the new tokens and the token before each."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(  # type: ignore[misc]
            cast(torch.LongTensor, input_ids), *args, inputs_embeds=inputs_embeds, **kwargs
        )
        if self.config.bigram_embeddings and (new := inputs.get("input_ids")) is not None:
            previous = previous_tokens(input_ids, kwargs.get("attention_mask"))
            inputs["previous_ids"] = previous[:, -new.shape[1] :].contiguous()
        return inputs


AutoModel.register(DistanceLMConfig, DistanceLMModel, exist_ok=True)
AutoModelForCausalLM.register(DistanceLMConfig, DistanceLMForCausalLM, exist_ok=True)
