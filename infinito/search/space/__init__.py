"""What is searched: parameters, conditions, points drawn."""
