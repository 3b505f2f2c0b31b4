"""The cases; to import this package is to have them all."""

from bench.faults.cases import answers, limits, providers, redis_trouble

__all__ = ["answers", "limits", "providers", "redis_trouble"]
