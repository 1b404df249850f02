"""A training schedule learned by PPO: environment, training, evaluation against controls."""
