"""What a sweep shows people."""
