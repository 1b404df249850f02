"""The Φ term of a training step: its calibration, its measurement, its part in the loss."""
