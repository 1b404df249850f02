"""The process that drives a sweep: what is launched next, and what came of it."""
