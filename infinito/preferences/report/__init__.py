"""Reports: what a preference tuning leaves in its folder, and what its data look like."""
