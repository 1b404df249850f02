"""The Gaussian-process surrogate of a leaf and the simulation that plays it out."""
