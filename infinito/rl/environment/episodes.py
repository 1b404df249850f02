"""Several episodes that run side by side; each step of an episode trains its language model.

The gymnasium environment and the vectorised one are both thin shells around this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infinito.config import RewardConf
from infinito.rl.environment.metrics import COHERENCE_THRESHOLD, Metrics
from infinito.rl.environment.rewards import Terms, compute_reward_terms, sum_terms
from infinito.rl.environment.spaces import ACTIONS, observe
from infinito.rl.environment.stacked_models import StackedModels
from infinito.rl.environment.start_states import StartStates
from infinito.rl.environment.windows import Windows
from infinito.seeding import seed_device

CPU = torch.device("cpu")


@dataclass(frozen=True)
class EpisodeSettings:
    """Reward, length and inner training of an episode."""

    reward: RewardConf
    base_perplexity: float
    """Perplexity of the base model on the probe batch."""
    inner_steps: int = 5
    """Optimizer steps of the language model in one step of the episode."""
    max_steps: int = 50
    """Steps after which an episode is truncated."""
    batch_size: int = 4
    """Windows in an optimizer step."""


class Episodes:
    """Running episodes, one for each of the stacked models.

    The start state and the text of an episode are functions of (seed, episode number), so there is
    no generator whose state would have to be saved.

    Args:
        models: The language models.
        windows: The text that they train on and are measured on.
        starts: The states that episodes start from.
        settings: Reward, length and inner training.
        seeds: One seed for each model.
    """

    def __init__(
        self,
        models: StackedModels,
        windows: Windows,
        starts: StartStates,
        settings: EpisodeSettings,
        seeds: Sequence[int],
    ) -> None:
        count = models.count
        self.models, self.windows, self.starts, self.settings = models, windows, starts, settings
        self.seeds = np.array(seeds, dtype=np.int64)
        self.numbers = np.full(count, -1, dtype=np.int64)
        self.start_numbers = np.zeros(count, dtype=np.int64)
        self.steps = np.zeros(count, dtype=np.int64)
        self.since_coherent = np.zeros(count, dtype=np.int64)
        self.returns = np.zeros(count)
        self.metrics = Metrics(*np.zeros((len(Metrics._fields), count)))

    def __len__(self) -> int:
        return self.models.count

    @property
    def done(self) -> np.ndarray:
        """Whether each episode has reached its last step, bool (envs,)."""
        return self.steps >= self.settings.max_steps

    @property
    def observations(self) -> np.ndarray:
        """Observations of the current step, float32 (envs, 6)."""
        return observe(self.metrics, self.since_coherent / self.settings.max_steps)

    def restart(self, mask: np.ndarray, starts: Sequence[int] | np.ndarray | None = None) -> None:
        """Begin the next episode of every environment where `mask` is true.

        Args:
            mask: bool (envs,).
            starts: Number of each environment's start state; None draws it by seed and episode.
        """
        for index in map(int, np.flatnonzero(mask)):
            self.numbers[index] += 1
            if starts is None:
                number = int(self._build_generator(index).integers(len(self.starts)))
            else:
                number = int(starts[index])
            self.start_numbers[index] = number
            self.models.set_state(index, self.starts.states[number])
        for counter in (self.steps, self.since_coherent, self.returns):
            counter[mask] = 0
        self.metrics = self.models.measure(self.windows.probe).where(mask, self.metrics)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, Terms]:
        """Train each model by its action; return rewards (envs,) and their terms.

        Raises:
            NonFiniteError: a term of the reward is NaN or infinite.
        """
        weights = torch.tensor([list(ACTIONS.values())[int(action)] for action in actions])
        seeds = [
            (int(seed), int(number), 1, int(step))
            for seed, number, step in zip(self.seeds, self.numbers, self.steps, strict=True)
        ]
        batches = self.windows.sample(seeds, self.settings.inner_steps, self.settings.batch_size)
        # A policy may have drawn from the global generator: without a seed of its own, dropout
        # would differ between policies whose episodes are compared in pairs.
        with torch.random.fork_rng(devices=[]):
            seed_device(int(np.random.default_rng(seeds[0]).integers(2**63)), CPU)
            for windows in batches:  # (envs, batch, block + 1)
                self.models.train(windows, weights[:, 0], weights[:, 1])
        before, self.metrics = self.metrics, self.models.measure(self.windows.probe)
        self.steps += 1
        coherent = self.metrics.coherence > COHERENCE_THRESHOLD
        self.since_coherent = np.where(coherent, 0, self.since_coherent + 1)
        reward, base_perplexity = self.settings.reward, self.settings.base_perplexity
        terms = compute_reward_terms(before, self.metrics, reward, base_perplexity)
        if reward.first_step_zero:
            terms = {name: np.where(self.steps == 1, 0.0, each) for name, each in terms.items()}
        rewards = sum_terms(terms)
        self.returns = self.returns + rewards
        return rewards, terms

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, in a form that a checkpoint can hold."""
        return {
            "learners": self.models.state_dict(),  # the key of all checkpoints written so far
            "counters": {name: torch.from_numpy(getattr(self, name)) for name in COUNTERS},
            "metrics": [torch.from_numpy(values) for values in self.metrics],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        self.models.load_state_dict(state["learners"])
        for name, values in state["counters"].items():
            setattr(self, name, values.clone().numpy())
        self.metrics = Metrics(*(values.clone().numpy() for values in state["metrics"]))

    def _build_generator(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seeds[index], self.numbers[index], 0])


COUNTERS = ("seeds", "numbers", "start_numbers", "steps", "since_coherent", "returns")
"""Arrays (envs,) that a checkpoint keeps: seed, episode number, start state and progress."""


def build_info(episodes: Episodes, terms: Terms, index: int) -> dict[str, Any]:
    """Return the `info` of one environment's step: metrics, start state and reward terms."""
    metrics = episodes.metrics
    return {
        "phi": float(metrics.phi[index]),
        "coherence": float(metrics.coherence[index]),
        "perplexity": float(metrics.perplexity[index]),
        "loss_text": float(metrics.loss_text[index]),
        "loss_phi": float(metrics.loss_phi[index]),
        "memory_use": float(metrics.memory_use[index]),
        "in_band": bool(metrics.loss_phi[index] == 0),
        "start": int(episodes.start_numbers[index]),
        **{f"reward/{name}": float(values[index]) for name, values in terms.items()},
    }
