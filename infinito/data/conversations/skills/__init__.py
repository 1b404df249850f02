"""Skills with known answers: short questions, generated from a seed, whose answers are exact."""
