"""Rows of preference files: reading them, and parsing each into a pair of text."""
