"""A schedule of training learned by reinforcement: environment, rewards, PPO, controls."""

from infinito.extras import require_extra

require_extra("rl")
