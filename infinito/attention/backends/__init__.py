"""Ways to compute attention exactly: the protocol, the registry, and one file for each backend."""
