"""The Gaussian-process surrogate of the scores, and the play-outs that simulate with it."""
