"""Hostile clients and a hostile provider, for `make attack` (`bench/mixed_attacks.py`)."""
