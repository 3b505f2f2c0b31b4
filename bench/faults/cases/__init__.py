"""The cases; to import this package is to have them all."""

from bench.faults.cases import (
    answers,
    clients,
    judgement,
    limits,
    mistakes,
    processes,
    providers,
    redis_trouble,
    streams,
)

__all__ = [
    "answers",
    "clients",
    "judgement",
    "limits",
    "mistakes",
    "processes",
    "providers",
    "redis_trouble",
    "streams",
]
