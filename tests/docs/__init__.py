"""The documentation: what its pages ask a reader to type, and where they lead."""
