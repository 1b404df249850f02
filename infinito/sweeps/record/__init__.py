"""What a sweep writes down and reads again."""
