"""Reads a causal LM while it runs: hidden states, queries and keys, statistics of attention."""
