"""Mutated requests by the hundred thousand against the real proxy: `make fuzz`; docs/fuzzing.md says more."""
