"""Generates text while an agent chooses, every few tokens, how the next ones are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.models.generation import continue_tokens
from infinito.models.observation.watching import observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import MIN_TIME, Calibration, band_loss, phi
from infinito.rl.environment.metrics import COHERENCE_THRESHOLD, Metrics
from infinito.rl.environment.spaces import ACTIONS, observe


class DecodingMode(NamedTuple):
    """How tokens are decoded."""

    temperature: float
    """Factor of the configured temperature."""
    gate: float
    """Share of `GATE_LIFT` added to the logit of the memory's gate."""


MODES = {
    "TEXT": DecodingMode(0.8, 0.0),
    "PHI": DecodingMode(1.0, 1.0),
    "MIXED": DecodingMode(0.9, 0.5),
}
"""Decoding mode of each action; TEXT leaves the memory gate as trained and samples colder."""
GATE_LIFT = 5.0
"""Raises a gate from its initial sigmoid(−5) to ½; has no effect without a memory."""

ChooseAction = Callable[[np.ndarray], int]
"""Returns the number of the action for one observation (1, 6)."""


@dataclass
class GuidedText:
    """A generated text, with the actions and metrics of its pieces."""

    ids: Tensor
    """Prompt and continuation, (1, time)."""
    actions: list[int] = field(default_factory=list)
    """Number of the action of each piece."""
    phi: list[float] = field(default_factory=list)
    """Φ of the preceding text, at each decision of the agent."""
    perplexity: list[float] = field(default_factory=list)
    """Perplexity of the preceding text, at each decision of the agent."""

    def report(self) -> dict[str, Any]:
        """Return action shares, and statistics of Φ and perplexity at the decisions."""
        count = max(1, len(self.actions))
        report: dict[str, Any] = {
            "actions": {
                name: self.actions.count(number) / count for number, name in enumerate(ACTIONS)
            }
        }
        for name, values in (("phi", self.phi), ("perplexity", self.perplexity)):
            if values:
                report[name] = {
                    "mean": float(np.mean(values)),
                    "least": float(np.min(values)),
                    "greatest": float(np.max(values)),
                }
        if self.phi:
            outside = band_loss(torch.tensor(self.phi))
            report["in_band"] = float((outside == 0).float().mean())
        return report


def generate_guided(
    model: PreTrainedModel,
    prompt: Tensor,
    choose: ChooseAction,
    calibration: Calibration,
    options: dict[str, Any],
    every: int,
    window: int,
) -> GuidedText:
    """Continue a prompt; the model is left in evaluation mode, its memory gate as before.

    Args:
        prompt: Token ids (1, time).
        choose: The agent. A text of at most `MIN_TIME` tokens has no Φ and takes the action TEXT.
        calibration: Calibration of Φ.
        options: Arguments of transformers' `generate`, with `max_new_tokens`; `temperature` is
            multiplied by that of the decoding mode.
        every: Tokens between decisions.
        window: Number of last tokens that the agent observes.
    """
    model.eval()
    text, clock = GuidedText(prompt), Clock()
    remaining = int(options["max_new_tokens"])
    while remaining > 0:
        action = 0
        if text.ids.shape[1] > MIN_TIME:
            metrics = measure_text(model, text.ids[:, -window:], calibration)
            action = choose(observe(metrics, clock.advance(metrics, options, every)))
            text.phi.append(float(metrics.phi[0]))
            text.perplexity.append(float(metrics.perplexity[0]))
        mode = list(MODES.values())[action]
        piece = {**options, "max_new_tokens": min(every, remaining)}
        if options.get("do_sample"):
            piece["temperature"] = options["temperature"] * mode.temperature
        before = text.ids.shape[1]
        with lift_gate(model, mode.gate * GATE_LIFT):
            text.ids = continue_tokens(model, text.ids, **piece)
        text.actions.append(action)
        remaining -= every
        if text.ids.shape[1] < before + piece["max_new_tokens"] or _is_end(model, text.ids, piece):
            break
    return text


def _is_end(model: PreTrainedModel, ids: Tensor, options: dict[str, Any]) -> bool:
    """Return whether `generate` takes the last token for the end of the document."""
    end = options.get("eos_token_id", model.generation_config.eos_token_id)
    return int(ids[0, -1]) in (end if isinstance(end, list) else [end])


@dataclass
class Clock:
    """Counts the decisions since C was last high, as a fraction of all decisions.

    The first decision is at 0, as the first step of an episode is.
    """

    since: int = -1

    def advance(self, metrics: Metrics, options: dict[str, Any], every: int) -> np.ndarray:
        """Count a decision and return the last number of its observation, (1,)."""
        self.since = 0 if metrics.coherence[0] > COHERENCE_THRESHOLD else self.since + 1
        return np.array([self.since * every / options["max_new_tokens"]])


@torch.no_grad()
def measure_text(model: PreTrainedModel, ids: Tensor, calibration: Calibration) -> Metrics:
    """Return the metrics of a model on a text (1, time) of more than `MIN_TIME` tokens."""
    with observed(model) as seen:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    value = calibration(phi(seen.components()))
    alive = [buffer for name, buffer in model.named_buffers() if name.endswith("memory.alive")]
    use = alive[0].float().mean()[None] if alive else torch.zeros(1)
    columns = (cross_entropy(logits, ids[:, 1:])[None], value, band_loss(value), use)
    return Metrics(*(column.double().cpu().numpy() for column in columns))


@contextmanager
def lift_gate(model: PreTrainedModel, lift: float) -> Iterator[None]:
    """Raise the logit of every memory gate by `lift` within the block."""
    gates = [value for name, value in model.named_parameters() if name.endswith("memory.gate_bias")]
    kept = [gate.detach().clone() for gate in gates]
    with torch.no_grad():
        for gate in gates:
            gate.add_(lift)
    try:
        yield
    finally:
        with torch.no_grad():
            for gate, value in zip(gates, kept, strict=True):
                gate.copy_(value)


def compute_distinct_n(ids: Sequence[int], n: int) -> float:
    """Return the number of different n-grams over the number of n-grams.

    Source: Li et al. 2016, A diversity-promoting objective function, section 4.
    """
    grams = [tuple(ids[place : place + n]) for place in range(len(ids) - n + 1)]
    return len(set(grams)) / max(1, len(grams))


def compute_repetition(ids: Sequence[int], n: int = 4) -> float:
    """Return the share of n-grams that occurred earlier in the text."""
    return 1 - compute_distinct_n(ids, n)
