"""From messages to token ids: templates, turns, and what of them is learned."""
