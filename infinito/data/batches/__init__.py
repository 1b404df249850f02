"""Token blocks, the order in which they are read, the loader that reads them, and padding."""
