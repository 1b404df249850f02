"""The schemas of the `rl` group: the environment, PPO, its rewards and its evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited

REWARDS = ("v1", "v2", "v2_relative", "v3")


@dataclass
class RewardConf:
    """Weights of the reward's terms (`infinito.rl.environment.rewards`); 0 switches a term off."""

    name: str = limited("v2_relative", choices=REWARDS)
    relative: bool = True
    """Multiply `perplexity_low` and `perplexity_high` by the base model's perplexity."""
    first_step_zero: bool = False
    """Pay nothing for the first step of an episode, as the published formulas do."""
    coherence: float = 0.0
    """α, weight of the change of C."""
    phi: float = 0.0
    """β, weight of the change of Φ."""
    perplexity: float = 0.0
    """γ, weight of the relative fall of the perplexity."""
    memory: float = limited(0.0, at_least=0)
    """δ, cost of the share of memory slots in use."""
    jump: float = limited(0.0, at_least=0)
    """Cost of each unit by which Φ changes more than 1 in a step."""
    below_band: float = limited(0.0, at_least=0)
    """Cost of each unit of Φ below the band."""
    above_band: float = limited(0.0, at_least=0)
    """Cost of each unit of Φ above the band."""
    in_band: float = limited(0.0, at_least=0)
    """Bonus for Φ inside the band."""
    perplexity_low: float = limited(0.3, above=0)
    """Perplexity below which a model counts as having memorised its text."""
    perplexity_high: float = limited(3.0, above=0)
    """Perplexity above which a model counts as broken."""
    too_low: float = limited(0.0, at_least=0)
    """Cost of a perplexity of 0; it falls linearly to none at `perplexity_low`."""
    too_high: float = limited(0.0, at_least=0)
    """Cost for each `perplexity_high`/2 of perplexity above `perplexity_high`."""
    below_coherence: float = limited(0.0, at_least=0)
    """Cost of each unit of C below 0.3."""
    above_coherence: float = limited(0.0, at_least=0)
    """Cost of each unit of C above 0.7."""
    in_coherence: float = limited(0.0, at_least=0)
    """Bonus for C from 0.3 to 0.7."""
    potential: float = limited(0.0, at_least=0)
    """Weight of the fall of the held-out loss, nats; alone, it is largest for the best model."""


@dataclass
class RlConf:
    """A training schedule learned by PPO: environment, training, evaluation (`task=rl_scheduler`).

    Arguments of PPO have the names that stable-baselines3 gives them.
    """

    reward: RewardConf
    total_timesteps: int = limited(30_000, at_least=1)
    """Environment steps of the whole training, rounded up to whole rollouts."""
    n_envs: int = limited(16, at_least=1)
    """Environments that PPO steps side by side."""
    vectorised: bool = True
    """Train the environments' models in one pass; false for a pretrained model or a memory."""
    inner_steps: int = limited(5, at_least=1)
    """Optimizer steps of the language model in each environment step."""
    inner_lr: float = limited(0.01, at_least=0)
    """Learning rate of the language model; 0 makes the null environment, where nothing changes."""
    inner_optimizer: str = limited("sgd", choices=("sgd", "adam"))
    """Optimizer of the language model. Adam normalises the weights of the losses away, so that
    actions hardly differ."""
    max_steps: int = limited(20, at_least=1)
    """Environment steps of an episode."""
    probe_windows: int = limited(8, at_least=1)
    """Held-out windows on which the language model is measured after each step."""
    phi_sequences: int = limited(4, at_least=1)
    """Sequences of a batch whose Φ is computed; at most `data.batch_size`."""
    base_checkpoint: str | None = None
    """A trained language model to start from; null to train one for `base_steps`."""
    base_steps: int = limited(400, at_least=0)
    """Training steps of the base model, on text alone."""
    base_batch_size: int = limited(16, at_least=1)
    """Windows in a batch of the base model's training."""
    shared_seed: int = limited(0, at_least=0)
    """Seed of base model, start states and evaluation episodes; independent of `seed`, so that
    policies of several seeds are evaluated on the same ones."""
    start_states: int = limited(32, at_least=1)
    """Start states of each split: as many for training, for validation and for test."""
    start_state_steps: int = limited(300, at_least=1)
    """Largest number of training steps between the base model and a start state."""
    n_steps: int = limited(128, at_least=1)
    """Steps of each environment in a rollout."""
    batch_size: int = limited(64, at_least=2)
    """Environment steps in a minibatch of PPO."""
    n_epochs: int = limited(10, at_least=1)
    """PPO's passes over a rollout."""
    learning_rate: float = limited(3e-4, above=0)
    """Learning rate of the policy."""
    lr_schedule: str = limited("constant", choices=("constant", "linear"))
    """`linear` lets the learning rate fall to 0 at `total_timesteps`."""
    gamma: float = limited(0.99, at_least=0, at_most=1)
    """Discount factor."""
    gae_lambda: float = limited(0.95, at_least=0, at_most=1)
    """λ of generalised advantage estimation."""
    clip_range: float = limited(0.2, above=0)
    """Clipping range of PPO's probability ratio."""
    ent_coef: float = limited(0.01, at_least=0)
    """Weight of the entropy bonus."""
    vf_coef: float = limited(0.5, at_least=0)
    """Weight of the value loss."""
    max_grad_norm: float = limited(0.5, above=0)
    """Largest norm of the policy's gradient."""
    net_arch: list[int] = limited([128, 128], at_least=1)
    """Widths of the tanh layers of policy and value function."""
    validate_every: int = limited(4096, at_least=1)
    """Environment steps between validations, rounded up to whole rollouts."""
    validation_episodes: int = limited(32, at_least=2)
    """Episodes of a validation, from held-out start states, and as many from training ones."""
    save_freq: int = limited(10_000, at_least=1)
    """Environment steps between kept checkpoints."""
    keep: list[str] = limited(
        ["best", "last", "every:10000"],
        pattern=(r"best|last|every:[1-9]\d*", "a list of `best`, `last` and `every:<steps>`"),
    )
    """Checkpoints that are kept; `every:<steps>` keeps the first at or after each multiple."""
    patience: int | None = limited(3, at_least=1)
    """Consecutive validations significantly below the best that end training; null: never."""
    episodes: int = limited(100, at_least=2)
    """Test episodes of `task=evaluate`."""
    null_control: bool = True
    """Evaluate in the null environment too, in which no policy may beat the random one."""
    export_zip: bool = False
    """Write the agent as a zip file of stable-baselines3 too."""
    policy_zip: str | None = None
    """A zip file of stable-baselines3 whose policy training starts from."""
    allow_pickle: bool = False
    """Open a `policy_zip` that infinito did not write; unpickling it can run any code."""


def rl_faults(rl: RlConf, windows: int) -> list[str]:
    """Return the combinations of settings that cannot work, a sentence each.

    Args:
        windows: Windows in a training batch of the language model.
    """
    faults = []
    rollout = rl.n_steps * rl.n_envs
    if rollout == 1:
        faults.append(
            "`rl.n_steps`=1 with `rl.n_envs`=1 makes rollouts of one step, whose advantages cannot "
            "be normalised, e.g. `rl.n_steps=128`"
        )
    elif rl.batch_size > rollout:
        faults.append(
            f"`rl.batch_size`={rl.batch_size} is more than the {rollout} steps of a rollout "
            f"(`rl.n_steps` × `rl.n_envs`), e.g. `rl.batch_size={rollout}`"
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
