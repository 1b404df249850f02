"""A schedule next to its controls."""
