"""Log-probabilities and losses of tokens, computed without holding all logits."""
