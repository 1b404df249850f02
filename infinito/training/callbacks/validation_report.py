"""What a validation leaves behind: metrics, sample text, attention statistics and heat maps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.attention import call_statistics
from infinito.models.watching import watched_layers
from infinito.seeding import child_seed
from infinito.training.heat_maps import attention_figure

PROBE_WINDOWS = 4
"""Validation windows whose attention is measured."""
SHOWN_POSITIONS = 256
"""Positions of the first window that a heat map shows at most."""

_log = logging.getLogger(__name__)


class ValidationReport(Callback):
    """Writes each validation's figures to the logger.

    Args:
        tokenizer: Turns sample tokens into text.
        seed: Sample text is drawn from a seed of its own: training randomness is untouched.
        sample_tokens: Length of the sample text, 0 for none.
        measure_attention: Log entropy, mean and maximum of attention a layer, and heat maps.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        sample_tokens: int,
        measure_attention: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.sample_tokens = sample_tokens
        self.measure_attention = measure_attention
        self.sample: str | None = None
        self._probe: Tensor | None = None

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Tensor, batch_idx: int, *_: int
    ) -> None:
        """Keeps the first windows as the fixed probe."""
        if self._probe is None and batch_idx == 0:
            self._probe = batch[:PROBE_WINDOWS, :-1].clone()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes metrics, sample and attention at the current step."""
        logger = trainer.logger
        if not isinstance(logger, TensorBoardLogger) or not trainer.is_global_zero:
            return
        step = trainer.global_step
        names = [name for name in trainer.callback_metrics if name.startswith("val/")]
        metrics = {name: float(trainer.callback_metrics[name]) for name in names}
        model = cast(PreTrainedModel, pl_module.model)
        if self.measure_attention and self._probe is not None:
            layers = probe_statistics(model, self._probe)
            for layer, statistics in enumerate(layers, start=1):
                metrics |= {f"attention/{k}/layer_{layer}": v for k, v in statistics.items()}
            if weights := probe_attention(model, self._probe[:1, :SHOWN_POSITIONS]):
                figure = attention_figure([layer[0] for layer in weights], f"step {step}")
                logger.experiment.add_figure("attention/weights", figure, step)
            if not (layers and weights):
                self.measure_attention = False
                _log.info("this model does not show its attention: no figures of it are written")
        logger.log_metrics(metrics, step=step)
        if self.sample_tokens:
            seed = child_seed(self.seed, "sample", step)
            self.sample = sample_text(model, self.tokenizer, self.sample_tokens, seed)
            logger.experiment.add_text("sample", f"```\n{self.sample}\n```", step)
        logger.experiment.flush()


@contextmanager
def evaluated_eagerly(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, and no compiled code: text that grows would be compiled for each length."""
    training, compiled = model.training, model._compiled_call_impl
    model.eval()
    model._compiled_call_impl = None
    try:
        yield
    finally:
        model._compiled_call_impl = compiled
        model.train(training)


@contextmanager
def returning_attention(model: PreTrainedModel) -> Iterator[None]:
    """The eager attention of transformers' own models: their faster ones keep no weights."""
    own = model.config._attn_implementation
    remembers = hasattr(model, "causal_lm")  # a memory cannot watch the eager one
    if own != "sdpa" or remembers or not model._can_set_attn_implementation():
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(own)


@torch.no_grad()
def probe_statistics(model: PreTrainedModel, inputs: Tensor) -> list[dict[str, float]]:
    """How spread out the attention of each layer is, none if the model does not show it.

    Memory is linear in time; the numbers are those of `attention_statistics`.

    Args:
        model: Any causal LM.
        inputs: Token ids (batch, time).
    """
    with evaluated_eagerly(model), watched_layers(model, last=None) as calls:
        model(input_ids=inputs, use_cache=False)
    return [call_statistics(call).means() for call in calls]


@torch.no_grad()
def probe_attention(model: PreTrainedModel, inputs: Tensor) -> list[Tensor]:
    """Attention weights (batch, heads, time, time) of each layer, none if the model keeps them.

    Args:
        model: Any causal LM that can return its attention.
        inputs: Token ids (batch, time).
    """
    with evaluated_eagerly(model), returning_attention(model):
        outputs = model(input_ids=inputs, output_attentions=True, use_cache=False)
    return list(outputs.attentions or [])


def sample_text(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: int, seed: int
) -> str:
    """Text drawn from the model at temperature 1, without touching torch's generator."""
    longest = getattr(model.config, "max_position_embeddings", tokens + 1)
    start = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else 0
    with evaluated_eagerly(model), torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        ids = model.generate(  # type: ignore[operator]
            input_ids=torch.tensor([[start]], device=model.device),
            attention_mask=torch.ones(1, 1, dtype=torch.long, device=model.device),
            max_new_tokens=min(tokens, longest - 1),
            do_sample=True,
            top_k=0,
            pad_token_id=start,
            eos_token_id=None,
        )
    return str(tokenizer.decode(ids[0, 1:], skip_special_tokens=False))
