"""Sweeps: Hydra's sweeper over `infinito.search`, its records and reports."""
