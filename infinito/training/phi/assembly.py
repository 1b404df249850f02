"""Builds the Φ objective, and calibrates it where nobody has."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.config import LanguagePhiConf, RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.objectives.phi import Calibration, phi
from infinito.training.phi.term import (
    PhiObjective,
    measured_components,
    read_calibration,
    read_weights,
)


def build_phi_term(
    conf: RunConf, model: PreTrainedModel, data: LanguageDataModule
) -> PhiObjective | None:
    """Return what `objective=language_phi` adds to the loss; None for `objective=language`.

    The calibration is the configured one, else the one that the model carries, else one fitted on
    the model as it is now. The model's config, and so each checkpoint, carries it from here on.
    """
    objective = conf.objective
    if not isinstance(objective, LanguagePhiConf):
        return None
    calibration = read_calibration(model)
    if objective.calibration is not None:
        calibration = Calibration(*objective.calibration)
    if calibration is None:
        batches = spread_windows(data, objective.calibration_windows, conf.data.batch_size)
        raw = phi(measured_components(model, batches), read_weights(model, objective))
        calibration = Calibration.fitted(raw, (objective.band[0], objective.band[1]))
    model.config.phi_calibration = list(calibration)
    return PhiObjective(objective, calibration)


def spread_windows(data: LanguageDataModule, count: int, batch_size: int) -> Iterator[Tensor]:
    """Yield windows that lie evenly over the training text, as token ids (batch, block)."""
    blocks = data.blocks("train")
    count = min(count, len(blocks))
    places = torch.linspace(0, len(blocks) - 1, count, dtype=torch.float64).round().long()
    for batch in places.split(batch_size):
        yield torch.stack([blocks[place] for place in batch.tolist()])[:, :-1]
