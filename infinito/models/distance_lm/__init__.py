"""The distance-attention language model: its configuration, block, positions and the model.

Importing this package registers the architecture with transformers' Auto classes.
"""

from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM

__all__ = ["DistanceLMConfig", "DistanceLMForCausalLM"]
