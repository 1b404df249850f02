"""Preference pairs: reading, checking, tokenising, batching, and what a reference says of them."""
