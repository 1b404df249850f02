"""The integration memory, and the model that holds one around any causal LM."""
