"""Parsing a row of a preference file into a pair of text."""
