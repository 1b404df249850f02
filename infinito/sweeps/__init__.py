"""Running a search: what Hydra sweeps with."""
