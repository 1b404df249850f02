"""Text drawn under an agent's eye: every few tokens it chooses how the next ones are decoded."""

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
from infinito.models.watching import observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import MIN_TIME, Calibration, band_loss, phi
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.environment.spaces import observed as observation
from infinito.rl.evaluation.metrics import COHERENT, Metrics


class Mode(NamedTuple):
    """How tokens are decoded."""

    temperature: float
    """Factor of the asked temperature."""
    gate: float
    """Share of `GATE_LIFT` added to the logit of the memory's gate."""


MODES = {"TEXT": Mode(0.8, 0.0), "PHI": Mode(1.0, 1.0), "MIXED": Mode(0.9, 0.5)}
"""By action; TEXT leaves the memory as trained and draws with less spread."""
GATE_LIFT = 5.0
"""Brings a gate that starts at sigmoid(−5) to ½. Nothing to lift without a memory."""

Decide = Callable[[np.ndarray], int]
"""Tells the number of the action for one observation (1, 6)."""


@dataclass
class Written:
    """A text and how it came about."""

    ids: Tensor
    """Prompt and continuation, (1, time)."""
    actions: list[int] = field(default_factory=list)
    """One for each piece."""
    phi: list[float] = field(default_factory=list)
    """Of the prefix, at each decision."""
    perplexity: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Action shares, and statistics of Φ and perplexity over the decisions."""
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


def written(
    model: PreTrainedModel,
    prompt: Tensor,
    decide: Decide,
    calibration: Calibration,
    options: dict[str, Any],
    every: int,
    window: int,
) -> Written:
    """Continues a prompt; the model is put in evaluation mode, and a lifted gate is put back.

    Args:
        prompt: Token ids (1, time).
        decide: The agent. Before `MIN_TIME` + 1 tokens there is no Φ to see, and TEXT is taken.
        calibration: Of Φ.
        options: Of transformers' `generate`, with `max_new_tokens`; only `temperature` is changed.
        every: Tokens between decisions.
        window: Last tokens that the agent observes.
    """
    model.eval()
    text, clock = Written(prompt), Clock()
    left = int(options["max_new_tokens"])
    while left > 0:
        action = 0
        if text.ids.shape[1] > MIN_TIME:
            metrics = measured(model, text.ids[:, -window:], calibration)
            action = decide(observation(metrics, clock.seen(metrics, options, every)))
            text.phi.append(float(metrics.phi[0]))
            text.perplexity.append(float(metrics.perplexity[0]))
        mode = list(MODES.values())[action]
        asked = {**options, "max_new_tokens": min(every, left)}
        if options.get("do_sample"):
            asked["temperature"] = options["temperature"] * mode.temperature
        before = text.ids.shape[1]
        with lifted_gate(model, mode.gate * GATE_LIFT):
            text.ids = continue_tokens(model, text.ids, **asked)
        text.actions.append(action)
        left -= every
        if text.ids.shape[1] < before + asked["max_new_tokens"] or _is_end(model, text.ids, asked):
            break
    return text


def _is_end(model: PreTrainedModel, ids: Tensor, options: dict[str, Any]) -> bool:
    """Whether the last token ends the document, as `generate` sees it."""
    end = options.get("eos_token_id", model.generation_config.eos_token_id)
    return int(ids[0, -1]) in (end if isinstance(end, list) else [end])


@dataclass
class Clock:
    """Decisions since C was last high, over the decisions there will be.

    The first decision is at 0, as the first of an episode is.
    """

    since: int = -1

    def seen(self, metrics: Metrics, options: dict[str, Any], every: int) -> np.ndarray:
        """Counts a decision, and returns the observation's last number, (1,)."""
        self.since = 0 if metrics.coherence[0] > COHERENT else self.since + 1
        return np.array([self.since * every / options["max_new_tokens"]])


@torch.no_grad()
def measured(model: PreTrainedModel, ids: Tensor, calibration: Calibration) -> Metrics:
    """The metrics of a model on a running text (1, time), time above `MIN_TIME`."""
    with observed(model) as seen:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    value = calibration(phi(seen.components()))
    alive = [buffer for name, buffer in model.named_buffers() if name.endswith("memory.alive")]
    use = alive[0].float().mean()[None] if alive else torch.zeros(1)
    columns = (cross_entropy(logits, ids[:, 1:])[None], value, band_loss(value), use)
    return Metrics(*(column.double().cpu().numpy() for column in columns))


@contextmanager
def lifted_gate(model: PreTrainedModel, lift: float) -> Iterator[None]:
    """Raises the logit of every memory gate for the block."""
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


def distinct(ids: Sequence[int], n: int) -> float:
    """Share of n-grams that differ, 1 where none is repeated.

    Source: Li et al. 2016, A diversity-promoting objective function, section 4.
    """
    grams = [tuple(ids[place : place + n]) for place in range(len(ids) - n + 1)]
    return len(set(grams)) / max(1, len(grams))


def repetition(ids: Sequence[int], n: int = 4) -> float:
    """Share of n-grams that stood earlier in the text."""
    return 1 - distinct(ids, n)
