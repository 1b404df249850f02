"""Conversations: their rows, how a template writes them, and batches to learn their answers."""
