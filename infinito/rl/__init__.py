"""A training schedule learned by PPO: environment, training, evaluation against controls."""

from infinito.extras import require_extra

require_extra("rl")
