"""What `GET /status` says in several situations, for the page that shows it."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

NOW = 1_796_040_194
Json = dict[str, Any]


def limit(whole: float | None, remaining: float | None, reserved: float = 0, reset_s: float | None = None) -> Json:
    return {"limit": whole, "remaining": remaining, "reserved": reserved, "reset_s": reset_s}


def quantiles(p50: float, p99: float) -> Json:
    return {"p50": p50, "p99": p99}


def endpoint(name: str, **changes: Any) -> Json:
    """One that is well and has had a sixth of some traffic."""
    recent = {"attempts": 412, "share": 0.5, "failures": {}, **changes.pop("recent", {})}
    return {
        "id": name, "model": "gpt-4o", "provider": "openai", "weight": 1, "share": 0.5, "tier": "first",
        "state": "closed", "in_flight": 3, "cooling_s": 0.0, "clock_s": 0.0,
        "requests": limit(600.0, 588.0, 3.0, 1.2),
        "tokens": limit(150_000.0, 141_020.5, 2812.0, 3.6), "ramp": 0, "why": "", "attempts": 18_204, "recent": recent,
        "cost": None,
        **changes,
    }  # fmt: skip


def traffic(requests: int, errors: Mapping[str, int] | None = None, first: tuple[float, float] = (412, 1830)) -> Json:
    if not requests:
        return {"requests": 0, "errors": {}, "overhead_ms": None, "first_byte_ms": None, "total_ms": None}
    total = quantiles(first[0] * 3.1, first[1] * 2.7)
    return {
        "requests": requests, "errors": dict(errors or {}), "overhead_ms": quantiles(0.21, 0.63),
        "first_byte_ms": quantiles(*first), "total_ms": total,
    }  # fmt: skip


def group(name: str, endpoints: Sequence[Json], waiting: int = 0, **recent: Any) -> Json:
    return {
        "model_group": name,
        "waiting": waiting,
        "endpoints": list(endpoints),
        "cost": recent.pop("cost", None),
        "recent": traffic(recent.pop("requests", 824), **recent),
    }


def cost(spent: float, replies: int = 18_000, hits: int | None = 3120, **changes: Any) -> Json:
    """What traffic cost that is mostly known."""
    return {
        "spent": spent, "saved_by_cache": spent / 8, "saved_by_routing": spent / 5, "per_hour": 0.0, "replies": replies,
        "priced_replies": replies * 9 // 10, "hits": hits, "priced_hits": 2980, "cached_share": 0.412, **changes,
    }  # fmt: skip


def decision(number: int, **changes: Any) -> Json:
    return {
        "request_id": f"req_{number:032x}", "unix": NOW - 0.37 * number, "group": "gpt-4o", "api": "chat",
        "endpoint": "gpt-4o/1", "attempts": 1, "reasons": "gpt-4o/1: ok", "status": 200, "outcome": "ok",
        "stream": False, "cache": "bypass", "total_ms": 1204.51, "first_byte_ms": 402.18, "overhead_ms": 0.24,
        **changes,
    }  # fmt: skip


def worker(number: int, pid: int, in_flight: int = 0) -> Json:
    return {"number": number, "pid": pid, "started_unix": NOW - 11_532, "in_flight": in_flight}


def status(groups: Sequence[Json], decisions: Sequence[Json] = (), **changes: Any) -> Json:
    """The whole; `changes` replace parts of it."""
    requests = sum(each["recent"]["requests"] for each in groups)
    errors: dict[str, int] = {}
    for each in groups:
        for kind, times in each["recent"]["errors"].items():
            errors[kind] = errors.get(kind, 0) + times
    return {
        "groups": list(groups),
        "stores": {
            "cache": {
                "store": {"kind": "memory", "state": "ok", "reason": "", "entries": 1204, "bytes": 9_120_332},
                "requests": {"hit": 3120, "miss": 1490, "bypass": 20_118, "refresh": 12, "shared": 88},
            },
            "endpoint_state": {"kind": "redis", "state": "ok", "reason": "", "entries": None, "bytes": None},
        },
        "held": {"bytes": 402_620, "max_bytes": 268_435_456, "refused": 0, "detached": 0},
        "proxy": {
            "version": "0.1.0", "generation": 1, "started_unix": NOW - 11_532, "draining": False,
            "reloaded_unix": NOW - 11_532, "reload_refused_unix": None, "reload_refusal": "",
            "in_flight": sum(e["in_flight"] for each in groups for e in each["endpoints"]),
            "worker": {"pid": 4711, "workers": 1}, "workers": [worker(1, 4711)],
        },
        "recent": {"window_s": 300, **traffic(requests, errors)},
        "currency": "USD", "cost": None,
        "decisions": list(decisions),
        **changes,
    }  # fmt: skip


def empty() -> Json:
    """Just started: nobody has asked for anything."""
    idle = {"in_flight": 0, "requests": None, "tokens": None, "attempts": 0}
    recent = {"attempts": 0, "share": 0.0}
    endpoints = [endpoint(f"demo/{n + 1}", model="demo", share=s, weight=w, recent=recent, **idle)
                 for n, (s, w) in enumerate([(0.5, 2), (0.25, 1), (0.25, 1)])]  # fmt: skip
    stores = {
        "cache": None,
        "endpoint_state": {"kind": "memory", "state": "ok", "reason": "", "entries": None, "bytes": None},
    }
    whole = status([group("demo", endpoints, requests=0)], stores=stores)
    whole["proxy"]["started_unix"] = NOW - 8
    whole["held"]["bytes"] = 0
    return whole


def some(attempts: int, share: float, **failures: int) -> Json:
    return {"attempts": attempts, "share": share, "failures": failures}


def busy() -> Json:
    """All is well, and there is much to do."""
    azure: Json = {"model": "gpt-4o-dep", "provider": "azure"}
    chat = [
        endpoint("gpt-4o/1", weight=2, in_flight=9, recent=some(640, 0.504), cost=cost(214.3, hits=None)),
        endpoint("gpt-4o/2", share=0.25, in_flight=4, recent=some(320, 0.252, rate_limited=2),
                 cost=cost(96.04, hits=None),
                 requests=limit(300.0, 121.0, 4.0, 35.8), tokens=limit(60_000.0, 7_411.0, 3120.0, 52.6)),
        endpoint("sweden-central", share=0.25, in_flight=5, recent=some(310, 0.244), **azure,
                 cost=cost(0.0, hits=None, per_hour=12.5),
                 requests=limit(480.0, 466.0, 5.0, 1.8), tokens=limit(80_000.0, 71_208.0, 4020.0, 6.6)),
        endpoint("overflow", share=0.0, weight=0, tier="fallback", in_flight=0, recent=some(0, 0.0),
                 requests=None, tokens=None),
    ]  # fmt: skip
    small = [endpoint(name, model="gpt-4o-mini", in_flight=12, recent=some(2209, 0.5)) for name in ("east", "west")]
    name = "text-embedding-3-small"
    one = endpoint(f"{name}/1", model=name, share=1.0, in_flight=2, requests=limit(3000.0, 2994.0, 2.0, 0.1),
                   recent=some(96, 1.0))  # fmt: skip
    groups = [
        group("gpt-4o", chat, requests=1268, errors={"client_invalid_request": 3}, cost=cost(310.34)),
        group("gpt-4o-mini", small, requests=4418, first=(188, 910)),
        group(name, [one], requests=96, first=(62, 240)),
    ]
    workers = [worker(1, 4711, in_flight=23), worker(2, 4712, in_flight=21)]
    whole = status(groups, _mixed(50), cost=cost(310.34, per_hour=12.5))
    whole["proxy"] |= {"worker": {"pid": 4711, "workers": 2}, "workers": workers}
    return whole


OVERLOADED = "server_error (503 upstream overloaded)"
LIMITED = "rate_limited (429 requests per minute)"
REFUSED = "auth_failed (401 the provider refuses this key)"


def failing() -> Json:
    """Half of it is broken, for all reasons there are."""
    azure: Json = {"model": "gpt-4o-dep", "provider": "azure"}
    cooling: Json = {"state": "cooling", "in_flight": 0}
    quarter: Json = {"share": 0.25}
    chat = [
        endpoint("gpt-4o/1", cooling_s=42.3, why=OVERLOADED, **cooling, **quarter,
                 recent=some(31, 0.062, server_error=9, connection_reset=4)),
        endpoint("gpt-4o/2", clock_s=18.2, in_flight=0, why=LIMITED, **quarter,
                 recent=some(301, 0.602, rate_limited=41),
                 requests=limit(300.0, 0.0, 0.0, 18.2), tokens=limit(60_000.0, 17_411.0, 0.0, 32.0)),
        endpoint("sweden-central", ramp=4, in_flight=4, **azure, **quarter,
                 recent=some(98, 0.196, first_byte_timeout=2)),
        endpoint("france-central", state="probing", in_flight=1, why="connect_timeout (no connection within 5.0 s)",
                 recent=some(70, 0.14, connect_timeout=6), **azure, **quarter),
    ]  # fmt: skip
    lost = endpoint("o3/1", model="o3", share=1.0, cooling_s=284.0, requests=None, tokens=None, why=REFUSED, **cooling,
                    recent=some(4, 1.0, auth_failed=4))  # fmt: skip
    stores = busy()["stores"]
    stores["endpoint_state"] |= {"state": "unavailable", "reason": "no answer within 0.1 s"}
    errors = {
        "endpoint_error": 21, "endpoint_rate_limited": 9, "client_cancelled": 6, "endpoint_stream_broken": 2,
    }  # fmt: skip
    groups = [
        group("gpt-4o", chat, waiting=14, requests=500, first=(1890, 14_200), errors=errors),
        group("o3", [lost], requests=4, errors={"endpoint_auth_failed": 4}),
    ]
    tried = f"gpt-4o/1: {OVERLOADED}; gpt-4o/2: {LIMITED}"
    quick: Json = {"first_byte_ms": 80.2, "total_ms": 80.4}
    broken = [
        decision(0, endpoint="sweden-central", attempts=3, total_ms=5120.4, first_byte_ms=3120.0, overhead_ms=0.71,
                 stream=True, reasons=f"{tried}; sweden-central: ok"),
        decision(1, group="o3", endpoint="o3/1", status=502, outcome="upstream_auth_failed", reasons=f"o3/1: {REFUSED}",
                 **quick),
        decision(2, endpoint="gpt-4o/2", status=429, outcome="rate_limit_exceeded", attempts=2, reasons=tried, **quick),
        decision(3, endpoint="", group="", api="", attempts=0, reasons="", status=401, outcome="invalid_api_key",
                 first_byte_ms=0.31, total_ms=0.33, overhead_ms=0.31),
        decision(4, endpoint="france-central", outcome="stream_broken", stream=True, reasons="france-central: ok"),
        decision(5, endpoint="sweden-central", status=499, outcome="client_left",
                 reasons="sweden-central: cancelled"),
    ]  # fmt: skip
    return status(groups, [*broken, *_mixed(20, first=6)], stores=stores)


def large(endpoints: int = 200) -> Json:
    """Many endpoints, some of them in trouble."""
    dice = random.Random(7)  # the same picture every time
    groups = []
    for number in range(1, endpoints // 10 + 1):
        name = f"model-{number:02}"
        members = []
        for place in range(1, 11):
            trouble: Json = {"in_flight": dice.randrange(9)}
            if dice.random() < 0.04:
                trouble = {"state": "cooling", "cooling_s": dice.uniform(1, 60), "why": OVERLOADED, "in_flight": 0}
            elif dice.random() < 0.06:
                trouble = {"clock_s": dice.uniform(1, 60), "why": LIMITED, "in_flight": 0}
            left, recent = dice.uniform(0.02, 1), some(dice.randrange(80, 90), 0.1 + dice.uniform(-0.004, 0.004))
            room = limit(600.0, 600 * left, 3.0, 60 * (1 - left))
            members.append(endpoint(f"{name}/{place}", model=name, share=0.1, recent=recent, requests=room, **trouble))
        groups.append(group(name, members, requests=dice.randrange(800, 900)))
    workers = [worker(number, 4710 + number, in_flight=203) for number in (1, 2, 4)]
    proxy = busy()["proxy"] | {"worker": {"pid": 4712, "workers": 4}, "workers": workers, "in_flight": 609}
    return status(groups, _mixed(50), proxy=proxy)


def _mixed(several: int, first: int = 0) -> list[Json]:
    embedding: Json = {"group": "text-embedding-3-small", "api": "embeddings", "endpoint": "text-embedding-3-small/1"}
    hit: Json = {"endpoint": "", "attempts": 0, "reasons": "", "total_ms": 0.11, "first_byte_ms": 0.1}
    kinds: list[Json] = [
        {"endpoint": "gpt-4o/1"},
        {"endpoint": "gpt-4o/2", "stream": True, "total_ms": 8120.4},
        {"group": "gpt-4o-mini", "endpoint": "east", "total_ms": 420.2, "first_byte_ms": 180.4},
        {"cache": "hit", "overhead_ms": 0.1, **hit},
        {"endpoint": "sweden-central", "attempts": 2, "reasons": f"gpt-4o/2: {LIMITED}; sweden-central: ok"},
        {"cache": "miss", "total_ms": 61.2, "first_byte_ms": 61.1, **embedding},
        {"group": "gpt-4o-mini", "endpoint": "west", "stream": True, "cache": "shared"},
        {"status": 400, "outcome": "client_error", "reasons": "gpt-4o/1: client_error (400 invalid_request_error)"},
    ]
    return [decision(first + n, **kinds[n * 5 % len(kinds)]) for n in range(several)]


SAMPLES = {"empty": empty, "busy": busy, "failing": failing, "large": large}
