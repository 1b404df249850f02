"""What decides where a search goes next: the tree search, plain UCT, chance."""
