"""The schemas of the `optimizer` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited

SCHEDULES = ("constant", "cosine", "linear", "wsd", "plateau")


@dataclass
class AdamWConf:
    """AdamW and its learning-rate schedule."""

    name: str = limited("adamw", choices=("adamw",))
    lr: float = limited(1e-3, above=0)
    """Peak learning rate."""
    betas: list[float] = limited([0.9, 0.95], at_least=0, below=1)
    """Decay of the running mean of the gradient and of its square."""
    eps: float = limited(1e-8, above=0)
    """Added to the root of the mean square, so that nothing is divided by 0."""
    weight_decay: float = limited(0.1, at_least=0)
    """Decoupled decay of matrices; vectors are not decayed."""
    clip_norm: float | None = limited(1.0, above=0)
    """Largest gradient norm, null for no clipping."""
    schedule: str = limited("cosine", choices=SCHEDULES)
    warmup_steps: int = limited(0, at_least=0)
    """Steps of linear warm-up."""
    min_lr_ratio: float = limited(0.1, at_least=0, at_most=1)
    """Where cosine, linear and wsd end, over the peak."""
    decay_share: float = limited(0.4, above=0, at_most=1)
    """Share of the steps, at the end, in which `schedule=wsd` falls; it is constant before."""
    plateau_factor: float = limited(0.5, above=0, below=1)
    """What the rate is multiplied by when validation stalls (`schedule=plateau`)."""
    plateau_patience: int = limited(2, at_least=0)
    """Validations without improvement before that."""
    in_backward: bool = False
    """Update each weight within the backward pass, when its gradient is complete, and free that:
    the memory of all gradients but one is saved. The same bits, without `clip_norm`."""
    moments: str = limited("float32", choices=("float32", "bfloat16"))
    """Type of the running means that AdamW keeps: bfloat16 takes half their memory; each step
    rounds the mean of gradients by up to 0.4 %, that of squares, at random, by up to 0.8 %."""


@dataclass
class MuonConf(AdamWConf):
    """Muon for the weights of hidden linear layers; AdamW, as above, for all other parameters.

    The schedule multiplies the rates of both.
    """

    name: str = limited("muon", choices=("muon",))
    matrix_lr: float = limited(0.02, above=0)
    """Peak learning rate of Muon: length of a step, whatever the size of the gradient."""
    matrix_weight_decay: float = limited(0.0, at_least=0)
    """Decoupled decay of Muon's matrices."""
    momentum: float = limited(0.95, at_least=0, below=1)
    """Decay of Muon's running mean of the gradient."""
