"""infinito trains small language models and tells whether what you changed made a difference.

The names below are loaded when they are first used, so that `import infinito` costs nothing and
`from infinito import distance_attention` imports torch alone. They are the interface for scripts
and notebooks; the modules that hold them say what each takes and gives.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.3.0.dev0"

if TYPE_CHECKING:
    from infinito.attention.functional import distance_attention as distance_attention
    from infinito.library import Run as Run
    from infinito.library import compose as compose
    from infinito.library import load as load
    from infinito.library import measure_phi as measure_phi
    from infinito.library import train as train
    from infinito.models.distance_lm.config import DistanceLMConfig as DistanceLMConfig
    from infinito.models.distance_lm.model import DistanceLMForCausalLM
    from infinito.objectives.phi import phi as phi
    from infinito.objectives.phi import phi_components as phi_components
    from infinito.preferences.objective.losses import PairLogProbs as PairLogProbs
    from infinito.preferences.objective.weighted_losses import (
        PreferenceObjective as PreferenceObjective,
    )
    from infinito.search.search import Search as Search
    from infinito.search.space.choices import Categorical as Categorical
    from infinito.search.space.parameters import Float as Float
    from infinito.search.space.parameters import Int as Int
    from infinito.search.space.space import Space as Space

    DistanceLM = DistanceLMForCausalLM

_HOMES = {
    "distance_attention": "infinito.attention.functional",
    "DistanceLM": "infinito.models.distance_lm.model:DistanceLMForCausalLM",
    "DistanceLMConfig": "infinito.models.distance_lm.config",
    "measure_phi": "infinito.library",
    "phi": "infinito.objectives.phi",
    "phi_components": "infinito.objectives.phi",
    "PairLogProbs": "infinito.preferences.objective.losses",
    "PreferenceObjective": "infinito.preferences.objective.weighted_losses",
    "Search": "infinito.search.search",
    "Space": "infinito.search.space.space",
    "Float": "infinito.search.space.parameters",
    "Int": "infinito.search.space.parameters",
    "Categorical": "infinito.search.space.choices",
    "compose": "infinito.library",
    "train": "infinito.library",
    "load": "infinito.library",
    "Run": "infinito.library",
}
"""The module of each name, and after a colon what it is called there, where that differs."""

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'infinito' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
