"""The preference losses, their weighted sum, and their metrics: plain functions."""
