"""A schedule of training learned by reinforcement: environment, rewards, PPO, controls."""
