"""The simulated provider's rate limits: pure, so time is whatever a test says it is."""

from collections.abc import Sequence
from math import isinf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.limits import (
    Bucket,
    SlidingWindow,
    Window,
    continuous_limiter,
    limiter_of_windows,
    token_cost,
    windowed_limiter,
)
from simulator.protocol.limit_headers import go_duration, limit_headers, limit_refusal, limiter_for
from simulator.protocol.routes import find_route
from simulator.settings import ProviderSettings

ROUTE = find_route("POST", "/v1/chat/completions")
AZURE_ROUTE = find_route("POST", "/openai/deployments/d/chat/completions?api-version=2024-10-21")
arrivals = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40)), max_size=60)


def admitted(meter: Bucket | Window | SlidingWindow, steps: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """(time, cost) of what got in, for steps of (seconds since the last, cost). Checks `remaining` at each."""
    now_s, taken = 0.0, []
    for pause_s, cost in steps:
        now_s += pause_s
        if meter.wait_s(cost, now_s) == 0:
            meter.take(cost, now_s)
            taken.append((now_s, cost))
        gauge = meter.gauge(now_s)
        assert 0 <= gauge.remaining <= gauge.limit
        assert gauge.reset_s >= 0
    return taken


@given(steps=arrivals, per_minute=st.integers(1, 100))
def test_a_bucket_never_admits_more_than_its_size_and_what_refilled(
    steps: list[tuple[float, int]], per_minute: int
) -> None:
    taken = admitted(Bucket(per_minute), steps)

    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span_s = taken[last][0] - taken[first][0]
            total = sum(cost for _, cost in taken[first : last + 1])
            assert total <= per_minute * (1 + span_s / 60) + 1e-6


@given(steps=arrivals, capacity=st.integers(1, 100), length_s=st.sampled_from([10.0, 60.0]))
def test_a_window_never_admits_more_than_its_capacity(
    steps: list[tuple[float, int]], capacity: int, length_s: float
) -> None:
    taken = admitted(Window(capacity, length_s, capacity), steps)

    opened_s = steps[0][0] if steps else 0.0
    totals: dict[int, int] = {}
    for at_s, cost in taken:
        index = int((at_s - opened_s) / length_s + 1e-9)
        totals[index] = totals.get(index, 0) + cost
    assert all(total <= capacity for total in totals.values())


@given(steps=arrivals, capacity=st.integers(1, 100), length_s=st.sampled_from([1.0, 3.0, 10.0]))
def test_a_sliding_window_never_admits_more_than_its_capacity_in_any_such_time(
    steps: list[tuple[float, int]], capacity: int, length_s: float
) -> None:
    taken = admitted(SlidingWindow(capacity, length_s), steps)

    for at_s, _ in taken:
        assert sum(cost for other_s, cost in taken if at_s - length_s + 1e-6 < other_s <= at_s) <= capacity


def sliding_limiter(rpm: int, tpm: int) -> object:
    return limiter_of_windows(rpm, tpm, 3.0, "sliding")


def aligned_limiter(rpm: int, tpm: int) -> object:
    return limiter_of_windows(rpm, tpm, 3.0, "aligned")


@pytest.mark.parametrize("make", [continuous_limiter, windowed_limiter, sliding_limiter, aligned_limiter])
@given(steps=arrivals)
def test_who_waits_as_long_as_told_is_let_in(make: object, steps: list[tuple[float, int]]) -> None:
    limiter = make(30, 200)  # type: ignore[operator]
    now_s = 0.0
    for pause_s, tokens in steps:
        now_s += pause_s
        verdict = limiter.admit(tokens, now_s)
        if verdict.refused_by is not None:
            now_s += verdict.wait_s
            verdict = limiter.admit(tokens, now_s)

        assert verdict.refused_by is None


def test_a_refused_request_is_charged_to_neither_limit() -> None:
    limiter = continuous_limiter(rpm=10, tpm=100)
    limiter.admit(60, 0.0)

    verdict = limiter.admit(60, 0.0)

    assert verdict.refused_by == "tokens"
    assert verdict.wait_s == pytest.approx(12.0)
    assert verdict.requests is not None
    assert verdict.requests.remaining == 9
    assert limiter.admit(40, 0.0).refused_by is None


def test_a_request_larger_than_the_whole_limit_never_gets_in_and_costs_nothing() -> None:
    limiter = continuous_limiter(rpm=None, tpm=100)

    verdict = limiter.admit(101, 0.0)

    assert verdict.refused_by == "tokens"
    assert isinf(verdict.wait_s)
    assert limiter.admit(100, 0.0).refused_by is None


def test_azure_counts_requests_in_slices_of_ten_seconds() -> None:
    limiter = windowed_limiter(rpm=120, tpm=None)

    first = limiter.admit(16, 0.0)

    assert first.requests is not None
    assert (first.requests.limit, first.requests.remaining, first.requests.reset_s) == (120, 19, 10.0)
    for _ in range(19):
        assert limiter.admit(16, 1.0).refused_by is None
    refused = limiter.admit(16, 4.0)
    assert (refused.refused_by, refused.wait_s) == ("requests", 6.0)
    assert limiter.admit(16, 10.0).refused_by is None


def test_windows_of_any_length_count_in_it_whatever_the_style() -> None:
    settings = ProviderSettings(rpm=5, window_s=3.0, windows="aligned", header_style="azure")
    limiter = limiter_for(settings)

    verdicts = [limiter.admit(16, 100.0 + n / 10) for n in range(5)]

    assert b"x-ratelimit-limit-requests: 5\r\nx-ratelimit-remaining-requests: 4\r\n" in limit_headers(
        verdicts[0], "azure"
    )
    assert limit_headers(verdicts[0], "azure").endswith(b"x-ratelimit-reset-requests: 2\r\n"), "102 - 100, rounded up"
    assert limiter.admit(16, 101.9).refused_by == "requests"
    assert limiter.admit(16, 102.0).refused_by is None


def test_azure_never_admits_more_than_a_small_limit_in_a_minute() -> None:
    limiter = windowed_limiter(rpm=3, tpm=None)

    verdicts = [limiter.admit(16, float(second)) for second in range(60)]

    assert sum(verdict.refused_by is None for verdict in verdicts) == 3


@pytest.mark.parametrize(
    ("body_bytes", "max_tokens", "cost"), [(400, 100, 200), (400, None, 116), (401, 5, 117), (0, 0, 16)]
)
def test_admission_charges_output_asked_for_and_a_quarter_of_the_bytes(
    body_bytes: int, max_tokens: int | None, cost: int
) -> None:
    assert token_cost(body_bytes, max_tokens) == cost


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (0.012, "12ms"),
        (0.0001, "1ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (8.764, "8.764s"),
        (20, "20s"),
        (62.5, "1m2.5s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
    ],
)
def test_durations_read_as_go_prints_them(seconds: float, shown: str) -> None:
    assert go_duration(seconds) == shown


def test_openai_headers_carry_go_durations_and_azure_ones_bare_numbers() -> None:
    openai = limit_headers(continuous_limiter(60, None).admit(16, 0.0), "openai")
    azure = limit_headers(windowed_limiter(60, 1000).admit(16, 0.0), "azure")

    assert openai == (
        b"x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1s\r\n"
    )
    assert b"x-ratelimit-remaining-requests: 9\r\nx-ratelimit-reset-requests: 10\r\n" in azure
    assert b"x-ratelimit-remaining-tokens: 984\r\nx-ratelimit-reset-tokens: 60\r\n" in azure


def test_openai_refusal_says_what_was_used_and_when_to_try_again() -> None:
    limiter = continuous_limiter(None, 30_000)
    limiter.admit(26_713, 0.0)

    reply = limit_refusal(limiter.admit(7_669, 0.0), "gpt-4.1", ROUTE, ProviderSettings(tpm=30_000))

    assert reply.status == 429
    assert b"Limit 30000, Used 26713, Requested 7669. Please try again in 8.764s." in reply.body
    assert b'"type":"tokens","param":null,"code":"rate_limit_exceeded"' in reply.body
    assert b"retry-after: 9\r\n" in reply.headers
    assert b"retry-after-ms" not in reply.headers


def test_azure_refusal_carries_both_retry_headers_and_its_own_wording() -> None:
    limiter = windowed_limiter(6, None)
    limiter.admit(16, 0.0)
    settings = ProviderSettings(rpm=6, header_style="azure")

    reply = limit_refusal(limiter.admit(16, 2.5), "d", AZURE_ROUTE, settings)

    assert b"retry-after: 8\r\nretry-after-ms: 7500\r\n" in reply.headers
    assert b'"code":"RateLimitReached"' in reply.body
    assert b"call rate limit" in reply.body
    assert (
        b"ChatCompletions_Create under Azure OpenAI API version 2024-10-21. Please retry after 8 seconds" in reply.body
    )


def test_azure_tells_an_oversized_request_to_wait_a_day() -> None:
    settings = ProviderSettings(tpm=100, header_style="azure")

    reply = limit_refusal(windowed_limiter(None, 100).admit(101, 0.0), "d", AZURE_ROUTE, settings)

    assert b"retry-after: 86400\r\nretry-after-ms: 86400000\r\n" in reply.headers


def test_style_none_refuses_without_a_hint() -> None:
    settings = ProviderSettings(rpm=1, header_style="none")
    limiter = continuous_limiter(1, None)
    admitted_verdict = limiter.admit(16, 0.0)

    reply = limit_refusal(limiter.admit(16, 0.0), "m", ROUTE, settings)

    assert reply.headers == b""
    assert b"again" not in reply.body
    assert limit_headers(admitted_verdict, "none") == b""
