"""Optimizers and the schedule of their rates."""
