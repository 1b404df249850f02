"""Text written under a schedule."""
