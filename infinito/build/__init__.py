"""Builds the objects of a run from its configuration: the only place where they are wired."""
