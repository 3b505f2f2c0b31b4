"""`make counts` sees what does not agree, and the share of metrics is what it is called."""

from typing import Any

from application.observing.request_counts import MANY
from bench.counts.agreement import Told, differences
from bench.instructions import metrics_shares
from simulator.records import Records

LINE: dict[str, Any] = {
    "group": "gpt", "endpoint": "well", "api": "chat", "attempts": 1, "reasons": "well: ok", "status": 200,
    "outcome": "ok", "cache": "bypass", "total_ms": 12.5, "first_byte_ms": 12.5, "overhead_ms": 0.5,
}  # fmt: skip


def metrics(attempts: int) -> Told:
    where = ("api=chat", "group=gpt")
    names = {"request_duration": 0.0125, "first_byte_duration": 0.0125, "overhead_duration": 0.0005}
    histograms: dict[tuple[str, ...], float] = {}
    for name, seconds in names.items():
        histograms |= {
            (f"llmproxy_{name}_seconds_count", *where): 1,
            (f"llmproxy_{name}_seconds_sum", *where): seconds,
            (f"llmproxy_{name}_seconds_bucket", "api=chat", "group=gpt", "le=0.01"): seconds <= 0.01,
        }
    return {
        ("llmproxy_requests_total", "api=chat", "endpoint=well", "group=gpt", "status=2xx"): 1,
        ("llmproxy_cache_requests_total", "group=gpt", "state=bypass"): 1,
        ("llmproxy_attempts_total", "endpoint=well", "group=gpt"): attempts,
        **histograms,
    }


def test_counts_that_agree_and_those_that_do_not_are_told() -> None:
    provider = Records()
    provider.begin("POST", "/", [], b"", "m", False, 0.0, 1)
    received = {"well": provider.counts()}

    assert differences(metrics(attempts=1), [LINE], received) == []
    assert differences(metrics(attempts=2), [LINE], received) == ["attempts at well: 2, requests by the provider 1"]
    # The client of one may have left before the provider had it.
    given_up = LINE | {"reasons": "well: client left"}
    assert differences(metrics(attempts=2), [given_up], received) == []
    (told,) = differences(metrics(attempts=1), [LINE | {"endpoint": ""}], received)[:1]
    assert told.startswith("llmproxy_requests_total api=chat endpoint= ")
    assert "by the log 1" in told
    slower = differences(metrics(attempts=1), [LINE | {"overhead_ms": 11.0}], received)
    assert [each.split(":")[0] for each in slower] == [
        "llmproxy_overhead_duration_seconds_sum", "llmproxy_overhead_duration_seconds_bucket le=0.01",
    ]  # fmt: skip


def test_the_share_of_metrics_is_of_one_request() -> None:
    counts = {"chat": 300_000, "hit": 150_000, "counting chats": 3_000 * MANY, "counting hits": 3_000 * MANY}

    assert metrics_shares(counts) == {"chat": 0.01, "hit": 0.02}
