"""Log-probabilities of answers: layouts, the probe of a layout, scores."""
