"""What a preference tuning leaves for people."""
