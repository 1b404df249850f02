"""Episodes in which every step really trains a language model, several at once.

Both environments, the one of gymnasium and the vectorised one, step this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infinito.config import RewardConf
from infinito.rl.environment.metrics import COHERENCE_THRESHOLD, Metrics
from infinito.rl.environment.rewards import Terms, compute_reward_terms, total
from infinito.rl.environment.spaces import ACTIONS, observed
from infinito.rl.environment.stacked_models import StackedModels
from infinito.rl.environment.start_states import StartStates
from infinito.rl.environment.windows import Text
from infinito.seeding import seed_device

CPU = torch.device("cpu")


@dataclass(frozen=True)
class EpisodeSettings:
    """What an episode is."""

    reward: RewardConf
    base_perplexity: float
    """Of the base model on the probe batch."""
    inner_steps: int = 5
    """Optimizer steps of a step."""
    max_steps: int = 50
    """Steps after which an episode is cut off."""
    batch_size: int = 4
    """Windows of an optimizer step."""


class Episodes:
    """As many running episodes as there are models.

    Start state and text of an episode are functions of (seed, episode number): no generator has a
    state to save.

    Args:
        models: The models.
        text: What they train on and are measured by.
        starts: Where episodes start.
        settings: What an episode is.
        seeds: One for each model.
    """

    def __init__(
        self,
        models: StackedModels,
        text: Text,
        starts: StartStates,
        settings: EpisodeSettings,
        seeds: Sequence[int],
    ) -> None:
        count = models.count
        self.models, self.text, self.starts, self.settings = models, text, starts, settings
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
    def over(self) -> np.ndarray:
        """Which episodes are at their end, bool (envs,)."""
        return self.steps >= self.settings.max_steps

    @property
    def observations(self) -> np.ndarray:
        """What a policy sees now, float32 (envs, 6)."""
        return observed(self.metrics, self.since_coherent / self.settings.max_steps)

    def restart(self, which: np.ndarray, starts: Sequence[int] | np.ndarray | None = None) -> None:
        """Begins the next episode of the environments where `which` (envs,) is true.

        Args:
            which: bool (envs,).
            starts: A start state for each environment; None to draw it by seed and episode.
        """
        for index in map(int, np.flatnonzero(which)):
            self.numbers[index] += 1
            if starts is None:
                number = int(self._draws(index).integers(len(self.starts)))
            else:
                number = int(starts[index])
            self.start_numbers[index] = number
            self.models.put(index, self.starts.states[number])
        for counter in (self.steps, self.since_coherent, self.returns):
            counter[which] = 0
        self.metrics = self.models.measure(self.text.probe).chosen(which, self.metrics)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, Terms]:
        """Trains every model by its action, and returns rewards (envs,) and their terms.

        Raises:
            NonFiniteError: a term of the reward is NaN or infinite.
        """
        weights = torch.tensor([list(ACTIONS.values())[int(action)] for action in actions])
        seeds = [
            (int(seed), int(number), 1, int(step))
            for seed, number, step in zip(self.seeds, self.numbers, self.steps, strict=True)
        ]
        batches = self.text.drawn(seeds, self.settings.inner_steps, self.settings.batch_size)
        with torch.random.fork_rng(devices=[]):  # else dropout would tell policies apart
            seed_device(int(np.random.default_rng(seeds[0]).integers(2**63)), CPU)
            for windows in batches:
                self.models.train(windows, weights[:, 0], weights[:, 1])
        before, self.metrics = self.metrics, self.models.measure(self.text.probe)
        self.steps += 1
        coherent = self.metrics.coherence > COHERENCE_THRESHOLD
        self.since_coherent = np.where(coherent, 0, self.since_coherent + 1)
        terms = compute_reward_terms(
            before, self.metrics, self.settings.reward, self.settings.base_perplexity
        )
        if self.settings.reward.first_step_zero:
            terms = {name: np.where(self.steps == 1, 0.0, each) for name, each in terms.items()}
        rewards = total(terms)
        self.returns = self.returns + rewards
        return rewards, terms

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, as a checkpoint takes it."""
        return {
            "learners": self.models.state_dict(),
            "counters": {name: torch.from_numpy(getattr(self, name)) for name in COUNTERS},
            "metrics": [torch.from_numpy(values) for values in self.metrics],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a saved state."""
        self.models.load_state_dict(state["learners"])
        for name, values in state["counters"].items():
            setattr(self, name, values.clone().numpy())
        self.metrics = Metrics(*(values.clone().numpy() for values in state["metrics"]))

    def _draws(self, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seeds[index], self.numbers[index], 0])


COUNTERS = ("seeds", "numbers", "start_numbers", "steps", "since_coherent", "returns")
"""Arrays (envs,) that say where each episode is."""


def information(episodes: Episodes, terms: Terms, index: int) -> dict[str, Any]:
    """What a step says of one environment besides the observation: metrics and reward terms."""
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
