"""`make soak`: mixed traffic through the real proxy for as long as you like, and whether anything grows meanwhile."""
