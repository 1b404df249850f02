"""What `task=` can ask for, one file each; `run(run, folder, overrides)` gives the score."""
