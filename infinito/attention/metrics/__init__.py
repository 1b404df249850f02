"""The metrics, one a file, and the table of them."""
