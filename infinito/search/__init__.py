"""Monte Carlo tree search over mixed spaces: ask for trials, tell their scores."""
