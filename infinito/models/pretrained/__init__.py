"""Any Hugging Face causal LM: opening, adapters, replaced attention."""
