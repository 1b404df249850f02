"""Preference pairs: reading, checking, tokenising, batching, and what the reference says of them."""
