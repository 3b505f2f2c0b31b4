"""The rows of the performance budget, each a measurement of its own."""
