"""Parsers under fuzz, guided by coverage: README.md here says how. A unit test replays the seeds."""
