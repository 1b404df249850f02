"""Pages that people open and send: one HTML file each, with everything in it and no network."""
