"""Preference pairs: reading, checking, tokenizing, batching."""
