"""Trains the schedule's policy: one rollout of PPO is one Lightning training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning import LightningModule

from infinito.errors import CheckpointError, NonFiniteError
from infinito.models.checkpoint_file import FORMAT
from infinito.rl.evaluation.controls import agent
from infinito.rl.evaluation.trajectories import Trajectories
from infinito.rl.ppo.collapse import CollapseMonitor, measure_gap
from infinito.rl.ppo.stepping import SteppedPPO

Play = Callable[[Any, str], Trajectories]
"""Plays validation episodes of a policy from the start states of a split, "train" or "valid"."""


class RolloutSteps:
    """The numbers of the rollouts that are left: a loader that draws on no generator.

    Args:
        total: Rollouts of the whole training.
        start: Those that are already done.
    """

    def __init__(self, total: int, start: int = 0) -> None:
        self.total, self.start = total, start

    def __len__(self) -> int:
        """Returns the rollouts of the whole training, wherever this begins."""
        return self.total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def state_dict(self) -> dict[str, Any]:
        """Returns nothing; Lightning asks for it as the sign of a loader that can be resumed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Does nothing, as `state_dict` has nothing."""


class PPOModule(LightningModule):
    """PPO as Lightning trains it: optimizer, checkpoints and loggers are the ordinary ones.

    Args:
        stepped: The training, not yet begun.
        play: Plays validation episodes.
        monitor: Judges them.
        description: Plain values that a checkpoint is checked by: reward, actions, observation.
    """

    def __init__(
        self,
        stepped: SteppedPPO,
        play: Play,
        monitor: CollapseMonitor,
        description: dict[str, Any],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.stepped, self.play, self.monitor = stepped, play, monitor
        self.description = description
        self.policy = stepped.ppo.policy
        self.saved: dict[str, Any] | None = None
        self.played: tuple[Trajectories, Trajectories] | None = None
        self.last_report: dict[str, float] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """PPO's own optimizer, so that Lightning saves it."""
        return self.stepped.ppo.policy.optimizer

    def on_fit_start(self) -> None:
        """Resets the environments, or takes them up where a checkpoint left them."""
        self.stepped.begin()
        if self.saved is not None:
            self.stepped.load_state_dict(self.saved)
            self.saved = None

    def on_train_start(self) -> None:
        """Lets the policy step Lightning's wrapper of its optimizer: else `global_step` stays 0."""
        wrapper = self.optimizers()
        self.stepped.ppo.policy.optimizer = wrapper  # type: ignore[assignment]
        self.trainer.should_stop |= self.monitor.collapsed

    def training_step(self, batch: int, batch_idx: int) -> None:
        """Plays a rollout and trains on it."""
        self.last_report = self.stepped.rollout()
        self._log(self.last_report)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Plays the likeliest actions from held-out start states, and from those of training."""
        choose = agent(self.policy, sampled=False)
        with torch.inference_mode(False), torch.enable_grad():  # episodes train language models
            self.played = self.play(choose, "valid"), self.play(choose, "train")

    def on_validation_epoch_end(self) -> None:
        """Judges what was played: once, as a signal may leave a validation before its end."""
        assert self.played is not None
        held_out, train = self.played
        returns = held_out.returns
        gap, gap_p = measure_gap(train.returns, returns)
        decline_p = self.monitor.judge(returns)
        report = {
            "val/return": float(returns.mean()),
            "val/return_spread": float(returns.std()),
            "val/phi": float(held_out.phi[:, -1].mean()),
            "val/in_band": float(held_out.in_band.mean()),
            "val/perplexity": float(held_out.perplexity[:, -1].mean()),
            "val/gap": gap,
            "val/gap_p": gap_p,
            "val/decline_p": decline_p,
        }
        if not all(torch.isfinite(torch.tensor(value)) for value in report.values()):
            raise NonFiniteError(
                f"validation after {self.timesteps} steps gave {report}. "
                "The last good checkpoint is kept. Try a smaller `rl.inner_lr`."
            )
        self._log(report)
        self.log_dict({**report, "val/cost": -report["val/return"]}, logger=False, batch_size=1)
        self.trainer.should_stop |= self.monitor.collapsed

    @property
    def timesteps(self) -> int:
        """Environment steps so far."""
        return self.stepped.ppo.num_timesteps

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what makes the checkpoint resumable, and what it is of."""
        checkpoint["infinito"] = {"format": FORMAT, **self.description}
        checkpoint["ppo"] = self.stepped.state_dict()
        checkpoint["collapse"] = self.monitor.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the state back, of which the environments are set when training starts.

        Raises:
            CheckpointError: the checkpoint is of another reward, action set or observation.
        """
        check_description(checkpoint["infinito"], self.description, "this run")
        self.saved = checkpoint["ppo"]
        self.monitor.load_state_dict(checkpoint["collapse"])

    def _log(self, report: dict[str, float]) -> None:
        if self.logger is not None:
            self.logger.log_metrics(report, step=self.timesteps)


def check_description(of_checkpoint: dict[str, Any], expected: dict[str, Any], place: str) -> None:
    """Refuses a policy where it does not belong.

    Raises:
        CheckpointError: it is of no schedule, or of another reward, action set or observation.
    """
    if of_checkpoint.get("kind") != "rl_scheduler":
        raise CheckpointError(
            "the checkpoint holds no schedule's policy: expected one of a `task=rl_scheduler` run"
        )
    faults = [
        f"  {name}: the agent has {of_checkpoint.get(name)}, {place} has {value}"
        for name, value in expected.items()
        if of_checkpoint.get(name) != value
    ]
    if faults:
        raise CheckpointError(
            f"the agent was trained for something else than {place}:\n"
            + "\n".join(faults)
            + "\nTrain an agent for it, or set `rl/reward` and the environment as its run had them "
            "(they stand in its config.yaml)."
        )
