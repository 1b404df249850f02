"""Training on conversations: what it starts from, how batches are laid out, what it reports."""
