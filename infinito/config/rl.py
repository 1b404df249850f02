"""The schemas of the `rl` group: the environment, PPO, its rewards and its evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited

REWARDS = ("v1", "v2", "v2_relative", "v3")


@dataclass
class RewardConf:
    """What a step earns (`infinito.rl.environment.rewards`); 0 leaves a term out."""

    name: str = limited("v2_relative", choices=REWARDS)
    relative: bool = True
    """Take `perplexity_low` and `perplexity_high` as multiples of the base model's."""
    first_step_zero: bool = False
    """The first step of an episode earns nothing, as in the published formulas."""
    coherence: float = 0.0
    """α, of the change of C."""
    phi: float = 0.0
    """β, of the change of Φ."""
    perplexity: float = 0.0
    """γ, of the relative fall of the perplexity."""
    memory: float = limited(0.0, at_least=0)
    """δ, cost of the memory's use."""
    jump: float = limited(0.0, at_least=0)
    """Cost of each unit that Φ moves beyond 1 in a step."""
    below_band: float = limited(0.0, at_least=0)
    """Cost of each unit of Φ below the band."""
    above_band: float = limited(0.0, at_least=0)
    """Cost of each unit of Φ above the band."""
    in_band: float = limited(0.0, at_least=0)
    """Bonus for Φ inside the band."""
    perplexity_low: float = limited(0.3, above=0)
    """Below it a model is taken to have memorised."""
    perplexity_high: float = limited(3.0, above=0)
    """Above it a model is taken to have fallen apart."""
    too_low: float = limited(0.0, at_least=0)
    """Cost of a perplexity of 0, falling to none at `perplexity_low`."""
    too_high: float = limited(0.0, at_least=0)
    """Cost of each half of `perplexity_high` above it."""
    below_coherence: float = limited(0.0, at_least=0)
    """Cost of each unit of C below 0.3."""
    above_coherence: float = limited(0.0, at_least=0)
    """Cost of each unit of C above 0.7."""
    in_coherence: float = limited(0.0, at_least=0)
    """Bonus for C from 0.3 to 0.7."""
    potential: float = limited(0.0, at_least=0)
    """Of the fall of the held-out loss, in nats: a potential whose optimum is the best model."""


@dataclass
class RlConf:
    """The schedule learned by PPO, its environment and its evaluation (`task=rl_scheduler`)."""

    reward: RewardConf
    total_timesteps: int = limited(30_000, at_least=1)
    """Environment steps of the whole training, rounded up to whole rollouts."""
    envs: int = limited(16, at_least=1)
    """Environments that run side by side."""
    vectorised: bool = True
    """Train their models in one pass; false for models that do not allow it."""
    inner_steps: int = limited(5, at_least=1)
    """Optimizer steps of the language model in an environment step."""
    inner_lr: float = limited(0.01, at_least=0)
    """Its learning rate; 0 makes the null environment, in which nothing changes."""
    inner_optimizer: str = limited("sgd", choices=("sgd", "adam"))
    """Adam divides the weight of a loss out again, so that actions hardly differ."""
    max_steps: int = limited(20, at_least=1)
    """Steps of an episode."""
    probe_windows: int = limited(8, at_least=1)
    """Held-out windows by which the model is measured after each step."""
    phi_sequences: int = limited(4, at_least=1)
    """Sequences of a batch whose Φ is taken; at most `data.batch_size`."""
    base_checkpoint: str | None = None
    """A trained language model to start from; null to train one for `base_steps`."""
    base_steps: int = limited(400, at_least=0)
    """Text-only steps of the base model."""
    base_batch_size: int = limited(16, at_least=1)
    ground_seed: int = limited(0, at_least=0)
    """Draws base model, start states and the episodes of evaluations; independent of `seed`, so
    that policies of several seeds meet the same ones."""
    start_states: int = limited(32, at_least=1)
    """States in each of three banks, for training, validation and test."""
    lead_steps: int = limited(300, at_least=1)
    """Steps that lead the base model to a start state at most."""
    n_steps: int = limited(128, at_least=1)
    """Steps of each environment in a rollout."""
    batch_size: int = limited(64, at_least=2)
    """Steps in a minibatch of PPO."""
    n_epochs: int = limited(10, at_least=1)
    """Passes over a rollout."""
    learning_rate: float = limited(3e-4, above=0)
    schedule: str = limited("constant", choices=("constant", "linear"))
    """Of the learning rate: `linear` falls to 0 at `total_timesteps`."""
    gamma: float = limited(0.99, at_least=0, at_most=1)
    """Discount."""
    gae_lambda: float = limited(0.95, at_least=0, at_most=1)
    clip_range: float = limited(0.2, above=0)
    entropy: float = limited(0.01, at_least=0)
    """Weight of the entropy bonus."""
    value: float = limited(0.5, at_least=0)
    """Weight of the value loss."""
    max_grad_norm: float = limited(0.5, above=0)
    hidden: list[int] = limited([128, 128], at_least=1)
    """Widths of the tanh layers of policy and value function."""
    validate_every: int = limited(4096, at_least=1)
    """Environment steps between validations, rounded up to whole rollouts."""
    validation_episodes: int = limited(32, at_least=2)
    save_freq: int = limited(10_000, at_least=1)
    """Environment steps between kept checkpoints."""
    keep: list[str] = limited(
        ["best", "last", "every:10000"],
        pattern=(r"best|last|every:[1-9]\d*", "a list of `best`, `last` and `every:<steps>`"),
    )
    """Checkpoints that are not pruned."""
    patience: int | None = limited(3, at_least=1)
    """Validations in a row significantly below the best after which training stops."""
    episodes: int = limited(100, at_least=2)
    """Test episodes of `task=evaluate`."""
    null_control: bool = True
    """Evaluate in the null environment too."""
    export_zip: bool = False
    """Write the agent as a zip of stable-baselines3 too."""
    policy_zip: str | None = None
    """A zip of stable-baselines3 whose policy training starts from."""
    allow_pickle: bool = False
    """Open a zip that infinito did not write: it is unpickled, which can run any code."""


def rl_faults(rl: RlConf, windows: int) -> list[str]:
    """What does not fit together, a sentence each.

    Args:
        windows: Of a training batch of the language model.
    """
    faults = []
    rollout = rl.n_steps * rl.envs
    if rollout == 1:
        faults.append(
            "`rl.n_steps`=1 with `rl.envs`=1 makes rollouts of one step, whose advantages cannot "
            "be normalised, e.g. `rl.n_steps=128`"
        )
    elif rl.batch_size > rollout:
        faults.append(
            f"`rl.batch_size`={rl.batch_size} is more than the {rollout} steps of a rollout "
            f"(`rl.n_steps` × `rl.envs`), e.g. `rl.batch_size={rollout}`"
        )
    if rl.phi_sequences > windows:
        faults.append(
            f"`rl.phi_sequences`={rl.phi_sequences} is more than `data.batch_size`={windows}, "
            f"e.g. `rl.phi_sequences={windows}`"
        )
    if rl.phi_sequences > rl.probe_windows:
        faults.append(
            f"`rl.phi_sequences`={rl.phi_sequences} is more than `rl.probe_windows`="
            f"{rl.probe_windows}, e.g. `rl.probe_windows={2 * rl.phi_sequences}`"
        )
    return faults
