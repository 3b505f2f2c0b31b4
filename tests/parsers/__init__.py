"""Parsers under fuzz, coverage-guided: `make fuzz-parsers`, see README.md here. A unit test replays the seeds."""
