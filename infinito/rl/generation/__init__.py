"""Text generation steered by a schedule's agent."""
