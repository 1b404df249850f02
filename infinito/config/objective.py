"""The schemas of the `objective` group: what training minimises."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited
from infinito.config.memory import MemoryConf


@dataclass
class ObjectiveConf:
    """The language-modelling loss alone."""

    name: str = "language"
    """What is minimized, set by `objective=…`."""


@dataclass
class LanguagePhiConf(ObjectiveConf):
    """The language-modelling loss and λ times the way of Φ out of its band."""

    name: str = "language_phi"
    lambda_phi: float = limited(0.6, at_least=0)
    """λ: 0.3 favours text, 0.6 balances, 1.0 favours Φ; 0 measures Φ and leaves training alone."""
    band: list[float] = limited([3.0, 6.0])
    """Lowest and highest calibrated Φ that cost nothing."""
    component_weights: list[float] = limited([0.3, 0.3, 0.2, 0.2], at_least=0)
    """Of temporal, integration, complexity and attention in Φ, summing to 1."""
    weights: str = limited("fixed", choices=("fixed", "learned"))
    """`learned` lets the language loss train them, through what the memory reads."""
    calibration: list[float] | None = None
    """Scale and offset of Φ; null for those of `checkpoint`, or fitted on the start model."""
    calibration_windows: int = limited(256, at_least=16)
    """Training windows that a model is calibrated on."""


def objective_faults(objective: ObjectiveConf, memory: MemoryConf) -> list[str]:
    """Return what does not fit together, a sentence each."""
    if not isinstance(objective, LanguagePhiConf):
        return []
    faults = []
    band, weights = objective.band, objective.component_weights
    if len(band) != 2 or not band[0] < band[1]:
        faults.append(
            f"`objective.band`={_listed(band)}: expected low < high, e.g. `objective.band=[3,6]`"
        )
    if len(weights) != 4 or abs(sum(weights) - 1) > 1e-6:
        faults.append(
            f"`objective.component_weights`={_listed(weights)}: expected four numbers that sum "
            "to 1, e.g. `objective.component_weights=[0.3,0.3,0.2,0.2]`"
        )
    if objective.calibration is not None and (
        len(objective.calibration) != 2 or objective.calibration[0] <= 0
    ):
        faults.append(
            f"`objective.calibration`={_listed(objective.calibration)}: expected a scale above 0 "
            "and an offset, e.g. `objective.calibration=null`"
        )
    if objective.weights == "learned" and memory.name == "none":
        faults.append(
            "`objective.weights`=learned trains the weights on what a memory reads, and there is "
            "none. Use `memory=integration` or `objective.weights=fixed`"
        )
    elif objective.weights == "learned" and memory.priority != "phi":
        faults.append(
            "`objective.weights`=learned trains the weights on what the memory reads, and with "
            f"`model.memory.priority`={memory.priority} that does not depend on them. "
            "Use `objective.weights=fixed` or `model.memory.priority=phi`"
        )
    if objective.weights == "learned" and any(weight == 0 for weight in weights):
        faults.append(
            f"`objective.component_weights`={_listed(weights)}: a weight that starts at 0 cannot "
            "be learned. Use `objective.weights=fixed`"
        )
    return faults


def _listed(values: list[float]) -> str:
    return "[" + ",".join(f"{value:g}" for value in values) + "]"
