"""Durations, dates and delays in words."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.retry_delay import delay_in_text_s, parse_duration_s, parse_retry_after_s, retry_delay_s

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("1m2.5s", 62.5),
        ("8.764s", 8.764),
        ("20ms", 0.02),
        ("0s", 0),
        ("1h0m0s", 3600),
        ("150µs", 0.00015),
        ("10", 10),
        ("300", 300),
        ("1.5", 1.5),
        ("", None),
        ("-1", None),
        ("-1s", None),
        ("soon", None),
        ("1s!", None),
        ("1d", None),
    ],
)
def test_durations_are_go_durations_or_seconds(text: str, seconds: float | None) -> None:
    assert parse_duration_s(text) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=40))
def test_no_text_breaks_a_parser_or_gives_a_negative_delay(text: str) -> None:
    for value in (parse_duration_s(text), parse_retry_after_s(text, NOW), delay_in_text_s(text)):
        assert value is None or value >= 0


@given(st.integers(0, 100), st.integers(0, 59), st.integers(0, 999))
def test_durations_as_go_prints_them_come_back(minutes: int, seconds: int, ms: int) -> None:
    assert parse_duration_s(f"{minutes}m{seconds}.{ms:03}s") == pytest.approx(minutes * 60 + seconds + ms / 1000)


def test_retry_after_may_be_a_date() -> None:
    assert parse_retry_after_s(formatdate(NOW + 30, usegmt=True), NOW) == pytest.approx(30)
    assert parse_retry_after_s(formatdate(NOW - 30, usegmt=True), NOW) == 0
    assert parse_retry_after_s("abc", NOW) is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 8.764s. Visit", 8.764),
        ("Please try again in 1m30s.", 90),
        ("Please try again in 20ms.", 0.02),
        ("Please retry after 55 seconds. Please go here", 55),
        ("Rate limit is exceeded. Try again in 50 seconds.", 50),
        ("Please retry after 1 second.", 1),
        ("try again in 2 minutes", 120),
        ("retry after 86400 seconds", 86400),
        ("try again later", None),
        ("You sent 3 requests", None),
    ],
)
def test_delays_in_words_are_read(message: str, seconds: float | None) -> None:
    assert delay_in_text_s(message) == (None if seconds is None else pytest.approx(seconds))


def test_the_precedence_is_ms_then_retry_after_then_the_reset_of_what_is_used_up_then_text() -> None:
    text = "try again in 7s"
    reset = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6s"}

    assert retry_delay_s({"retry-after-ms": "1500", "retry-after": "9", **reset}, text, NOW) == 1.5
    assert retry_delay_s({"retry-after": "9", **reset}, text, NOW) == 9
    assert retry_delay_s(reset, text, NOW) == 6
    assert retry_delay_s({}, text, NOW) == 7
    assert retry_delay_s({}, "", NOW) is None


def test_a_reset_of_a_limit_with_room_left_says_nothing_about_waiting() -> None:
    headers = {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "53s"}

    assert retry_delay_s(headers, "", NOW) is None


def test_junk_and_negative_delays_are_unknown() -> None:
    assert retry_delay_s({"retry-after-ms": "-1", "retry-after": "-1"}, "", NOW) is None
    assert retry_delay_s({"retry-after": "abc"}, "Try again in 5 seconds", NOW) == 5
