"""Which combinations of settings cannot be, a file a subject."""
