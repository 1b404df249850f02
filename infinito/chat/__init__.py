"""Talking to a language model: conversations, the cache that they keep, and the terminal."""
