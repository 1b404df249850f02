"""What a training says of itself: its headline, its results and its pictures."""
