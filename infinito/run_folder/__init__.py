"""What a run leaves: its folder, its records, its tables and its console."""
