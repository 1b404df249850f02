"""Token blocks, the order in which they are read, and the loader that reads them."""
