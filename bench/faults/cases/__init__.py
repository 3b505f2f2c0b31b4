"""The cases; to import this package is to have them all."""

from bench.faults.cases import answers, clients, limits, processes, providers, redis_trouble

__all__ = ["answers", "clients", "limits", "processes", "providers", "redis_trouble"]
