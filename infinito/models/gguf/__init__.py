"""Export to GGUF: weights and tokenizer."""
