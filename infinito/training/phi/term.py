"""λ times the way of Φ out of its band, as a training step adds it to the language loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.config import LanguagePhiConf
from infinito.models.memory.memory import IntegrationMemory
from infinito.models.observation.watching import Observation, observed
from infinito.objectives.phi import Calibration, PhiComponents, band_loss, phi
from infinito.training.distributed.reduction import is_shared, mean_over_processes


class PhiMeasurement(NamedTuple):
    """Φ of a batch, which is the mean over its sequences, those of all processes together.

    The gradient is that of this process's sequences; its mean over processes is that of the batch.
    """

    value: Tensor
    """Calibrated Φ, ()."""
    loss: Tensor
    """Its way out of the band, before λ, ()."""
    components: PhiComponents
    """Means over the batch, each ()."""


class PhiObjective:
    """Measures Φ of training batches and counts how many lie in the band.

    Args:
        settings: λ, band and weights.
        calibration: Fixed for the whole training.
    """

    def __init__(self, settings: LanguagePhiConf, calibration: Calibration) -> None:
        self.settings = settings
        self.calibration = calibration
        self.band = (settings.band[0], settings.band[1])
        self.steps = 0
        self.steps_in_band = torch.zeros((), dtype=torch.long)
        self.last: PhiMeasurement | None = None
        self.validation: dict[str, float] = {}
        band_loss(torch.zeros(()), self.band)  # an empty band is refused now

    @property
    def trains(self) -> bool:
        """Whether Φ has a part in the loss."""
        return self.settings.lambda_phi > 0

    def measure(self, model: PreTrainedModel, seen: Observation) -> PhiMeasurement:
        """Return Φ of a forward pass, with gradient if it is to train.

        Raises:
            ConfigError, NonFiniteError: see `phi_components`.
        """
        with torch.set_grad_enabled(self.trains and torch.is_grad_enabled()):
            components = seen.components()
            value = self.calibration(phi(components, read_weights(model, self.settings))).mean()
            means = PhiComponents(*(each.mean() for each in components))
            if is_shared():
                value, *rest = _of_all_processes(value, means, len(components.temporal))
                means = PhiComponents(*rest)
            return PhiMeasurement(value, band_loss(value, self.band), means)

    def add_to(self, language: Tensor, model: PreTrainedModel, seen: Observation) -> Tensor:
        """Return the language loss with λ times that of Φ, and count the step."""
        measured = self.measure(model, seen)
        self.last = PhiMeasurement(
            measured.value.detach(),
            measured.loss.detach(),
            PhiComponents(*(each.detach() for each in measured.components)),
        )
        self.steps += 1
        self.steps_in_band = self.steps_in_band.to(measured.loss.device) + (self.last.loss == 0)
        return language + self.settings.lambda_phi * measured.loss if self.trains else language

    def metrics(self) -> dict[str, float]:
        """Return what the last step measured, and the share of steps in the band so far."""
        if self.last is None:
            return {}
        parts = {
            f"phi/{name}": float(part) for name, part in self.last.components._asdict().items()
        }
        return {
            "phi/value": float(self.last.value),
            "phi/loss": float(self.last.loss),
            "phi/share_in_band": float(self.steps_in_band) / self.steps,
            **parts,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return calibration, counts and the last validation as plain values."""
        return {
            "calibration": list(self.calibration),
            "steps": self.steps,
            "steps_in_band": int(self.steps_in_band),
            "validation": self.validation,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.calibration = Calibration(*state["calibration"])
        self.steps, self.steps_in_band = state["steps"], torch.tensor(state["steps_in_band"])
        self.validation = state["validation"]


def _of_all_processes(value: Tensor, means: PhiComponents, windows: int) -> tuple[Tensor, ...]:
    """Return Φ and its components as means over all processes, Φ with the gradient of this one."""
    local = torch.stack([value, *means]).detach()
    value_of_all, *means_of_all = mean_over_processes(local, windows).unbind()
    return value_of_all + (value - value.detach()), *means_of_all


@torch.inference_mode()
def measured_components(model: PreTrainedModel, batches: Iterable[Tensor]) -> PhiComponents:
    """Return the components of Φ of many windows, in evaluation mode; each (windows,).

    Args:
        model: Any causal LM; its mode is left as it was.
        batches: Token ids (batch, time).
    """
    training, found = model.training, []
    model.eval()
    for batch in batches:
        with observed(model) as seen:
            model(input_ids=batch.to(model.device), use_cache=False)
        found.append(seen.components())
    model.train(training)
    return PhiComponents(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))


def read_weights(model: PreTrainedModel, settings: LanguagePhiConf) -> Tensor | tuple[float, ...]:
    """Return the weights of the components of Φ: the model's learned ones, else the configured.

    Φ never trains learned ones.
    """
    memory = getattr(model, "memory", None)
    if isinstance(memory, IntegrationMemory) and memory.weight_logits is not None:
        return memory.component_weights().detach()
    return tuple(settings.component_weights)


def read_calibration(model: PreTrainedModel) -> Calibration | None:
    """Return the calibration that a model carries in its config, if it has been calibrated."""
    values = getattr(model.config, "phi_calibration", None)
    return None if values is None else Calibration(*values)
