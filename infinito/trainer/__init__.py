"""What infinito adds to Lightning's Trainer: exact resume, safe checkpoints, signals, a bar."""
