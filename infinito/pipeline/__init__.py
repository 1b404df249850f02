"""Trainings that follow each other, each from the last one's weights, and the report on them."""
