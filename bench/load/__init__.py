"""Who sends the load, and what it saw."""
