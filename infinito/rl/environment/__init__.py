"""The environment of a training schedule."""
