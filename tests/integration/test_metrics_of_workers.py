"""Two workers are one proxy to whoever counts: what `/metrics` says is what the log and the provider say, whichever
worker is asked, and falls neither when one of them is killed nor when another takes its place."""

from pathlib import Path

from application.observing.error_types import error_type
from bench.counts.agreement import total
from bench.counts.run import count_and_kill

REQUESTS = 2000


async def test_counts_are_those_of_the_log_and_the_provider_though_a_worker_is_killed(tmp_path: Path) -> None:
    """`make counts` does the same with more requests."""
    seen = await count_and_kill(tmp_path, REQUESTS, seed=1)
    told, lines, status = seen.metrics, seen.log, seen.status

    assert seen.differences == []
    assert len(lines) == total(told, "llmproxy_requests_total") == REQUESTS
    assert {error_type(line["outcome"]) for line in lines} >= {
        "", "client_unknown_model", "client_invalid_request", "client_unauthorized", "client_cancelled",
        "endpoint_error", "endpoint_rate_limited", "endpoint_timeout", "endpoint_stream_broken",
    }  # fmt: skip
    assert {line["cache"] for line in lines} >= {"hit", "miss", "bypass"}
    assert total(told, "llmproxy_worker_starts_total") == 3
    assert total(told, "llmproxy_in_flight_requests") == 0

    # A worker that has replaced another looks back to its own start.
    assert status["recent"]["requests"] in (REQUESTS // 2, REQUESTS)
    endpoints = [each for group in status["groups"] for each in group["endpoints"]]
    assert sum(each["attempts"] for each in endpoints) == total(told, "llmproxy_attempts_total")
    assert {each["pid"] for each in status["proxy"]["workers"]} == set(seen.workers)
    assert [each["number"] for each in status["proxy"]["workers"]] == [1, 2]
    newest = max(lines, key=lambda line: line["time"])["request_id"]
    assert newest in [each["request_id"] for each in status["decisions"][:5]]
