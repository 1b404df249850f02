"""How trials are launched: their processes, their limits in time, what they leave."""
