"""From the words typed to a checked `RunConf`."""
