"""PPO, one rollout per training step."""
