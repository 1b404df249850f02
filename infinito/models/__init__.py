"""Language models: Hugging Face causal LMs whose attention is a config away."""
