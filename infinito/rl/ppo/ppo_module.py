"""Trains the schedule's policy: one rollout of PPO is one Lightning training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning import LightningModule

from infinito.errors import CheckpointError, NonFiniteError
from infinito.models.checkpoint_file import FORMAT
from infinito.rl.evaluation.controls import Policy, build_agent
from infinito.rl.evaluation.trajectories import Trajectories
from infinito.rl.ppo.collapse import CollapseMonitor, measure_gap
from infinito.rl.ppo.stepping import SteppedPPO
from infinito.training.report.metrics_logger import log_everywhere

Play = Callable[[Policy, str], Trajectories]
"""Plays validation episodes of a policy from the start states of a split, "train" or "valid"."""

FIRST_CURVES = {"rl/return_mean": "return/rollouts", "val/return": "return/validation"}
"""Figures that are logged a second time, so that TensorBoard, which sorts, opens on them."""


class RolloutSteps:
    """The numbers of the remaining rollouts: a data loader that uses no random generator.

    Args:
        total: Rollouts of the whole training.
        start: Rollouts that are done.
    """

    def __init__(self, total: int, start: int = 0) -> None:
        self.total, self.start = total, start

    def __len__(self) -> int:
        """Return the rollouts of the whole training, including those that are done."""
        return self.total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: Lightning takes a loader with this method for resumable."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the state is empty."""


class PPOModule(LightningModule):
    """PPO as a Lightning module, with Lightning's own optimizer, checkpoint and logger handling.

    Args:
        stepped: The training, before its first rollout.
        play: Plays validation episodes.
        monitor: Judges their returns.
        description: Reward, actions and observation as plain values; a checkpoint with others is
            refused.
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
        self.loaded: dict[str, Any] | None = None
        self.validated: tuple[Trajectories, Trajectories] | None = None
        self.last_report: dict[str, float] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return PPO's own optimizer, so that Lightning saves it."""
        return self.stepped.ppo.policy.optimizer

    def on_fit_start(self) -> None:
        """Reset the environments, or restore the state that a checkpoint holds."""
        self.stepped.begin()
        if self.loaded is not None:
            self.stepped.load_state_dict(self.loaded)
            self.loaded = None

    def on_train_start(self) -> None:
        """Let the policy step Lightning's wrapper of its optimizer, which counts `global_step`."""
        wrapper = self.optimizers()
        self.stepped.ppo.policy.optimizer = wrapper  # type: ignore[assignment]
        self.trainer.should_stop |= self.monitor.collapsed

    def training_step(self, batch: int, batch_idx: int) -> None:
        """Collect a rollout and train on it."""
        self.last_report = self.stepped.run_rollout()
        self._log(self.last_report)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Play the likeliest actions from held-out start states, and from training ones."""
        policy = build_agent(self.policy, sampled=False)
        with torch.inference_mode(False), torch.enable_grad():  # episodes train language models
            self.validated = self.play(policy, "valid"), self.play(policy, "train")

    def on_validation_epoch_end(self) -> None:
        """Judge the validation episodes.

        This hook, not `validation_step`, does it: a signal may end a validation between the two,
        and the resumed run validates again, so that the episodes would be judged twice.
        """
        assert self.validated is not None
        held_out, train = self.validated
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
        """Save PPO's state and the description of the environment."""
        checkpoint["infinito"] = {"format": FORMAT, **self.description}
        checkpoint["ppo"] = self.stepped.state_dict()
        checkpoint["collapse"] = self.monitor.state_dict()
        checkpoint["last_report"] = self.last_report

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the saved state; `on_fit_start` restores it once the environments are reset.

        Raises:
            CheckpointError: the checkpoint has another reward, action set or observation.
        """
        check_description(checkpoint["infinito"], self.description, "this run")
        self.loaded = checkpoint["ppo"]
        self.monitor.load_state_dict(checkpoint["collapse"])
        self.last_report = checkpoint.get("last_report", {})  # earlier versions did not save it

    def _log(self, report: dict[str, float]) -> None:
        first = {tag: report[name] for name, tag in FIRST_CURVES.items() if name in report}
        log_everywhere(self.trainer, {**first, **report}, self.timesteps)


def check_description(found: dict[str, Any], expected: dict[str, Any], place: str) -> None:
    """Refuse a policy that was trained for another task.

    Args:
        found: The checkpoint's description.
        expected: The description that `place` requires.
        place: Name of the run or task that reads the checkpoint, for the message.

    Raises:
        CheckpointError: the checkpoint holds no schedule's policy, or one for another reward,
            action set or observation.
    """
    if found.get("kind") != "rl_scheduler":
        raise CheckpointError(
            "the checkpoint holds no schedule's policy: expected one of a `task=rl_scheduler` run"
        )
    faults = [
        f"  {name}: the agent has {found.get(name)}, {place} has {value}"
        for name, value in expected.items()
        if found.get(name) != value
    ]
    if faults:
        raise CheckpointError(
            f"the agent was not trained for {place}:\n"
            + "\n".join(faults)
            + "\nTrain an agent for it, or set `rl/reward` and the environment to the values in "
            "the config.yaml of the agent's run."
        )
