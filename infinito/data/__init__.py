"""Text and synthetic sources, tokenizers, the token cache, and the loaders that feed training.

Data runs one way: source → tokenizer → token cache → token blocks → batch loader → datamodule.
"""
