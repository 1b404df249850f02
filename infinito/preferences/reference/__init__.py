"""The reference's log-probabilities: policies and a cache."""
