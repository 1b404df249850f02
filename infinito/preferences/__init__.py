"""Preference tuning, from a row of JSON to the report."""
