"""The cases; to import this package is to have them all."""

from bench.faults.cases import (
    answers,
    between_clients,
    clients,
    judgement,
    limits,
    mistakes,
    processes,
    providers,
    raw_requests,
    redis_slow,
    redis_trouble,
    routes,
    starts,
    streams,
)

__all__ = [
    "answers",
    "between_clients",
    "clients",
    "judgement",
    "limits",
    "mistakes",
    "processes",
    "providers",
    "raw_requests",
    "redis_slow",
    "redis_trouble",
    "routes",
    "starts",
    "streams",
]
