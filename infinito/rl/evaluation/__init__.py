"""Evaluation of a schedule against its controls."""
