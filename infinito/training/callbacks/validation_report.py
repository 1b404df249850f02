"""What a validation leaves behind: metrics, sample text, attention statistics and heat maps."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.config import GenerationConf
from infinito.models.generation import sample_text
from infinito.models.observation.attention_probe import (
    PROBE_WINDOWS,
    probe_attention,
    probe_statistics,
)
from infinito.run_folder.series.samples_file import Sample, SamplesFile
from infinito.seeding import child_seed
from infinito.training.dashboards.dashboard import list_dashboards
from infinito.training.distributed.sharding import is_sharded
from infinito.training.report.heat_maps import attention_figure, draw_pixels
from infinito.training.report.metrics_logger import log_everywhere

PROMPT_TOKENS = 16
"""Tokens of the first validation document that a sample continues, at most."""
SHOWN_POSITIONS = 256
"""Positions of the first window that a heat map shows at most."""

_log = logging.getLogger(__name__)


class Probe(NamedTuple):
    """What the figures of a validation are measured on."""

    windows: Tensor
    """Token ids (windows, time) whose attention is shown."""
    prompt: Tensor
    """Token ids (time,) that the sample goes on from."""


class ValidationReport(Callback):
    """Writes each validation's figures to the loggers.

    Args:
        tokenizer: Turns sample tokens into text.
        seed: Sample text is drawn from a seed of its own: training randomness is untouched.
        sample_tokens: Length of the sample text, 0 for none.
        generation: How the sample is drawn; its length and prompt are not read.
        measure_attention: Log entropy, mean and maximum of attention a layer, and heat maps.
        samples: The file that gets the sample text; None for none.
        probe: What to measure on; None for the first windows of the first validation.

    Attributes:
        heat_maps: Pixels of the last validation's attention, (height, width, 3) of uint8.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
        sample_tokens: int,
        generation: GenerationConf | None = None,
        measure_attention: bool = True,
        samples: SamplesFile | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.sample_tokens = sample_tokens
        self.generation = replace(generation or GenerationConf(), max_new_tokens=sample_tokens)
        self.measure_attention = measure_attention
        self.samples = samples
        self.heat_maps: np.ndarray | None = None
        self.prompt: str | None = None
        self.sample: str | None = None
        self._probe: Tensor | None = None if probe is None else probe.windows
        self._prompt: Tensor | None = None if probe is None else probe.prompt

    def state_dict(self) -> dict[str, Any]:
        """Return the last sample: a run may be resumed after its last validation."""
        return {"prompt": self.prompt, "sample": self.sample}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the sample of the interrupted run."""
        self.prompt = state_dict.get("prompt")  # earlier versions did not save it
        self.sample = state_dict["sample"]

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Keeps the first windows as the fixed probe."""
        if self._probe is None and batch_idx == 0:
            self._probe = batch[:PROBE_WINDOWS, :-1].clone()
            if is_sharded(pl_module):
                self._probe = trainer.strategy.broadcast(self._probe)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes metrics, sample and attention at the current step.

        With sharded weights all processes compute them, and the first writes.
        """
        boards = list_dashboards(trainer)
        computes = trainer.is_global_zero or is_sharded(pl_module)
        if not trainer.loggers or not computes:
            return
        step = trainer.global_step
        names = [name for name in trainer.callback_metrics if name.startswith("val/")]
        metrics = {name: float(trainer.callback_metrics[name]) for name in names}
        model = cast(PreTrainedModel, pl_module.model)
        if self.measure_attention and self._probe is not None:
            layers = probe_statistics(model, self._probe)
            for layer, statistics in enumerate(layers, start=1):
                metrics |= {f"val_attention/{k}/layer_{layer}": v for k, v in statistics.items()}
            if weights := probe_attention(model, self._probe[:1, :SHOWN_POSITIONS]):
                figure = attention_figure([layer[0] for layer in weights], f"step {step}")
                self.heat_maps = draw_pixels(figure)
                for board in boards:
                    board.show_picture("val_attention/weights", self.heat_maps, step)
            if not (layers and weights):
                self.measure_attention = False
                _log.info("this model does not show its attention: no figures of it are written")
        log_everywhere(trainer, metrics, step)
        if self.sample_tokens and self._probe is not None:
            text = self._draw_sample(model, step)
            if self.samples is not None and trainer.is_global_zero:
                self.samples.write(text)
            for board in boards:
                board.show_text("sample", f"```\n{text['prompt']}⟶{text['text']}\n```", step)
        for board in boards:
            board.flush()

    def _draw_sample(self, model: PreTrainedModel, step: int) -> Sample:
        """Let the model continue the beginning of the first validation document."""
        assert self._probe is not None
        start = self._prompt
        if start is None:
            start = self._probe[0, : min(PROMPT_TOKENS, max(1, self._probe.shape[1] // 4))]
        seed = child_seed(self.seed, "sample", step)
        self.prompt = str(self.tokenizer.decode(start, skip_special_tokens=True))
        self.sample = sample_text(model, self.tokenizer, start, self.generation, seed)
        return Sample(step=step, prompt=self.prompt, text=self.sample)
