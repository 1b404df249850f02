"""What a training does besides its steps."""
