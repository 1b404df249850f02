"""The loop that draws tokens with a decoder, in place of that of transformers' `generate`."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from supported import find_decoder
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteriaList,
)
from transformers.cache_utils import DynamicLayer
from transformers.generation.streamers import BaseStreamer


def faster_loop(model: PreTrainedModel, streamer: BaseStreamer | None = None) -> dict[str, Any]:
    """Return the argument with which `model.generate` takes this loop; {} for its own loop.

    The streamer is bound here as well, since `generate` drops it when it calls a custom loop.
    """
    if find_decoder(model) is None:
        return {}
    return {"custom_generate": partial(draw_tokens, streamer=streamer)}


def draw_tokens(
    model: PreTrainedModel,
    input_ids: Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    synced_gpus: bool = False,
    streamer: BaseStreamer | None = None,
    **model_kwargs: Any,
) -> Any:
    """Return texts with what follows them, (batch, time + new), as transformers' `_sample` does.

    The model itself reads the prompts; its decoder reads each token after them. The logits are the
    model's up to rounding, and processors, draws and ends are transformers'.
    """
    plain: dict[str, Any] = {
        "logits_processor": logits_processor,
        "stopping_criteria": stopping_criteria,
        "generation_config": generation_config,
        "streamer": streamer,
    }
    decoder_class = find_decoder(model)
    unusual = synced_gpus or generation_config.return_dict_in_generate
    if decoder_class is None or unusual or not generation_config.use_cache:
        return model._sample(  # type: ignore[operator]
            input_ids, synced_gpus=synced_gpus, **plain, **model_kwargs
        )
    outputs = model._prefill(input_ids, generation_config, model_kwargs)  # type: ignore[operator]
    cache, length = outputs.past_key_values, int(generation_config.max_length or 0)
    assert isinstance(cache, DynamicCache)
    assert all(type(layer) is DynamicLayer for layer in cache.layers)
    batch, begun = input_ids.shape
    ids = input_ids.new_empty(batch, max(length, begun + 1))
    ids[:, :begun] = input_ids
    logits = outputs.logits[:, -1].float().clone()
    mask: Tensor | None = model_kwargs.get("attention_mask")
    real = torch.ones_like(input_ids) if mask is None else mask
    decoder = decoder_class(model, cache, length, real)
    del outputs, cache
    unfinished = torch.ones(batch, dtype=torch.long, device=ids.device)
    padding = generation_config._pad_token_tensor
    ends = any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria)
    time = begun
    while True:
        scores = logits_processor(ids[:, :time], logits)  # type: ignore[arg-type]
        if generation_config.do_sample:
            tokens = torch.multinomial(scores.softmax(-1), num_samples=1).squeeze(1)
        else:
            tokens = scores.argmax(-1)
        if ends and padding is not None:
            tokens = tokens * unfinished + padding * (1 - unfinished)
        ids[:, time] = tokens
        time += 1
        if streamer is not None:
            streamer.put(tokens.cpu())
        unfinished &= ~stopping_criteria(ids[:, :time], None)
        if not unfinished.any():
            break
        logits = decoder.step(tokens).float()
    if streamer is not None:
        streamer.end()
    return ids[:, :time]
