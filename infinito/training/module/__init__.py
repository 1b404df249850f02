"""The Lightning module of language models: its losses, evaluation, and starting weights."""
