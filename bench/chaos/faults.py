"""What can go wrong, and for how long.

Sites are where model calls go: three providers that answer all groups. Of a site's fault this says what its provider
does; how Redis and the replicas are made to fail is in stage.py.
"""

from typing import Any

from msgspec import Struct

SITES = ("alpha", "beta", "gamma")
REPLICAS = ("replica-1", "replica-2")
REDIS = "redis"


class SiteFault(Struct, frozen=True):
    """One way for a provider to fail."""

    action: dict[str, Any] | None = None
    """Of the simulator (docs/provider.md). None = it is done elsewhere."""
    breaks_streams: bool = False
    """May it break a stream whose first content is with the client?"""
    longest_s: float = 12.0
    settle_s: float = 2.0
    """How long after its end the site does not yet count as well: a 429 told the proxy to wait."""


def _status(status: int, message: str, code: str | None = None, **headers: str) -> dict[str, Any]:
    error = {"message": message, "type": "error", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"kind": "status", "status": status, "headers": named, "body": {"error": error}}


def key_of(site: str, number: int) -> str:
    """The site's key, a canary; another one with each `number`."""
    return f"sk-chaos-canary-{site}-{number}"


UNAUTHORIZED, DNS, REFUSED = "401", "DNS gone", "refused"

SITE_FAULTS: dict[str, SiteFault] = {
    "429": SiteFault(_status(429, "slow down", "rate_limit_exceeded", retry_after="1"), settle_s=4),
    "429 without a hint": SiteFault(_status(429, "slow down", "rate_limit_exceeded"), longest_s=4, settle_s=12),
    "500": SiteFault(_status(500, "internal")),
    "503": SiteFault(_status(503, "overloaded")),
    # As OpenAI words it: the key stands in the reply, and must not get further.
    UNAUTHORIZED: SiteFault(_status(401, "Incorrect API key provided: sk-chaos-canary-echo.", "invalid_api_key")),
    "reset": SiteFault({"kind": "reset"}),
    "reset in the middle": SiteFault({"kind": "reset", "when": "mid_body"}, breaks_streams=True),
    "closed": SiteFault({"kind": "close"}),
    "hangs": SiteFault({"kind": "hang"}),
    "stream hangs": SiteFault({"kind": "hang", "when": "mid_stream", "after_events": 8}, breaks_streams=True),
    "stream reset": SiteFault({"kind": "reset", "when": "mid_stream", "after_events": 8}, breaks_streams=True),
    "error in a stream": SiteFault({"kind": "stream_error", "after_events": 8}, breaks_streams=True),
    "stream without end": SiteFault({"kind": "no_done"}, breaks_streams=True),
    "slow": SiteFault({"kind": "slow", "bytes_per_second": 4000}, breaks_streams=True),
    "in pieces": SiteFault({"kind": "chop", "bytes": 61, "delay_ms": 2}),
    "junk": SiteFault({"kind": "junk", "body": "<html>busy</html>", "content_type": "text/html"}),
    "empty": SiteFault({"kind": "empty"}),
    "truncated": SiteFault({"kind": "truncate"}, breaks_streams=True),
    "closes idle connections": SiteFault({"kind": "early_close_idle", "ms": 1}),
    REFUSED: SiteFault(),
    DNS: SiteFault(),
}

REDIS_FAULTS = ("killed", "frozen", "restarted", "flushed", "connections cut")
LASTING_REDIS_FAULTS = frozenset({"killed", "frozen"})

WORKER_KILLED, REPLICA_KILLED, RESTARTED = "worker killed", "replica killed", "restarted"
RELOADED, RELOAD_REFUSED, CLOCK = "reloaded", "reload refused", "clock stepped"
REPLICA_FAULTS = (WORKER_KILLED, REPLICA_KILLED, RESTARTED, RESTARTED, RELOADED, RELOAD_REFUSED, CLOCK)


class Fault(Struct, frozen=True):
    """One of the schedule. Times in seconds since the load began."""

    at_s: float
    seconds: float
    """0 = it is over at once, or when it is done."""
    target: str
    kind: str
    share: float = 1.0
    """Of a site's requests."""

    @property
    def until_s(self) -> float:
        return self.at_s + self.seconds

    def __str__(self) -> str:
        return f"{self.target} {self.kind}"


def settle_s(fault: Fault) -> float:
    """How long after its end the site may still be left alone."""
    return SITE_FAULTS[fault.kind].settle_s
