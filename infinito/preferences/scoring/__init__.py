"""Log-probabilities of answers: layouts of pairs, the choice of one, figures from scores."""
