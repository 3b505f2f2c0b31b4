"""Durations, dates and delays in words."""

import re
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.errors import retry_delay
from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.error_kinds import classify, classify_in_stream
from adapters.upstreams.openai.errors.retry_delay import (
    delay_in_text_s,
    parse_duration_s,
    parse_retry_after_s,
    retry_delay_s,
)
from domain.failure import FailureKind

NOW = 1_790_000_000.0


def said(message: str) -> ErrorFields:
    return ErrorFields(message=message)


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

    assert retry_delay_s({"retry-after-ms": "1500", "retry-after": "9", **reset}, said(text), NOW) == 1.5
    assert retry_delay_s({"retry-after": "9", **reset}, said(text), NOW) == 9
    assert retry_delay_s(reset, said(text), NOW) == 6
    assert retry_delay_s({}, said(text), NOW) == 7
    assert retry_delay_s({}, said(""), NOW) is None


def test_a_reset_of_a_limit_with_room_left_says_nothing_about_waiting() -> None:
    headers = {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "53s"}

    assert retry_delay_s(headers, said(""), NOW) is None


def test_junk_and_negative_delays_are_unknown() -> None:
    assert retry_delay_s({"retry-after-ms": "-1", "retry-after": "-1"}, said(""), NOW) is None
    assert retry_delay_s({"retry-after": "abc"}, said("Try again in 5 seconds"), NOW) == 5


LATER, EARLIER, FAR = NOW + 30, NOW - 30, NOW + 7200


def rfc3339(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")


def used_up(reset: str, dimension: str = "requests") -> dict[str, str]:
    return {f"x-ratelimit-remaining-{dimension}": "0", f"x-ratelimit-reset-{dimension}": reset}


SOON = {
    "seconds": f"{LATER:.0f}",
    "milliseconds": f"{LATER * 1000:.0f}",
    "RFC 3339": rfc3339(LATER),
    "RFC 3339 elsewhere": rfc3339(LATER + 7200).replace("Z", "+02:00"),
    "HTTP date": formatdate(LATER, usegmt=True),
    "RFC 850": datetime.fromtimestamp(LATER, UTC).strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    "asctime": datetime.fromtimestamp(LATER, UTC).strftime("%a %b %d %H:%M:%S %Y"),
}


@pytest.mark.parametrize("text", SOON.values(), ids=SOON.keys())
def test_a_point_in_time_that_is_near_is_waited_for_in_whatever_header_it_stands(text: str) -> None:
    for headers in ({"retry-after": text}, used_up(text), used_up(text, "tokens"), {"x-rate-limit-reset-tokens": text}):
        assert retry_delay_s(headers, said("try again in 7s"), NOW) == pytest.approx(30)


def test_unix_time_in_a_header_for_milliseconds_is_understood_too() -> None:
    assert retry_delay_s({"retry-after-ms": f"{LATER * 1000:.0f}"}, said(""), NOW) == pytest.approx(30)
    assert retry_delay_s({"retry-after-ms": f"{LATER:.0f}"}, said(""), NOW) == pytest.approx(30)
    assert retry_delay_s({"retry-after-ms": "86400000"}, said(""), NOW) == 86_400


UNSOUND = [
    "12:30:00", "12:30", "2026-11-30", "2026-11-30T12:30:00", "Mon, 30 Nov", "GMT", "tomorrow",
    f"{EARLIER:.0f}", f"{EARLIER * 1000:.0f}", rfc3339(EARLIER), formatdate(EARLIER, usegmt=True),
    f"{FAR:.0f}", f"{FAR * 1000:.0f}", rfc3339(FAR), formatdate(NOW + 400 * 86_400, usegmt=True),
    f"{NOW * 1e6:.0f}", f"{NOW * 1e9:.0f}", "1e9", "9" * 400, "9" * 400 + "s", "99999h",
    "1500", "30000", "60000", "59560", "100000",
    "-1", "-30000", "+5", "nan", "inf", "NaN", "Infinity", "", " ", "0", "0.0", "0s", "null", "\u00b2",
    "10, 20", "10,20", "60;w=60", "30, 30", f"{LATER:.0f}, {LATER:.0f}",
]  # fmt: skip


@pytest.mark.parametrize("text", UNSOUND)
def test_what_cannot_be_meant_is_as_if_it_were_absent_and_the_next_source_counts(text: str) -> None:
    for headers in ({"retry-after": text}, used_up(text), used_up(text, "tokens"), {"x-rate-limit-reset-tokens": text}):
        assert retry_delay_s(headers, said(""), NOW) is None
        assert retry_delay_s(headers, said("try again in 7s"), NOW) == 7
    assert retry_delay_s({"retry-after": text, **used_up("6s")}, said(""), NOW) == 6


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "", "0", "12:30:00", "9" * 400, f"{EARLIER * 1000:.0f}", "1, 2"])
def test_milliseconds_that_cannot_be_meant_leave_the_word_to_retry_after(text: str) -> None:
    assert retry_delay_s({"retry-after-ms": text, "retry-after": "9"}, said(""), NOW) == 9


@pytest.mark.parametrize("seconds", [1, 59, 300, 600, 900, 1800, 3600, 7200, 43_200, 86_400, 604_800, 2_592_000])
def test_whole_periods_are_believed_as_seconds(seconds: int) -> None:
    assert retry_delay_s({"retry-after": str(seconds)}, said(""), NOW) == seconds


def test_a_date_is_believed_for_a_month() -> None:
    assert retry_delay_s({"retry-after": formatdate(NOW + 86_400, usegmt=True)}, said(""), NOW) == pytest.approx(86_400)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit of 150 per 86400s exceeded. Please wait 33011 seconds before retrying.", 33_011),
        ("Please retry after 1500 milliseconds.", 1.5),
        ("try again in 1 day", 86_400),
        ("retry after 12:30:00", None),
        ("try again in 2026-11-30T12:30:00Z", None),
        ("retry after 11/30/2026", None),
        (f"retry after {LATER:.0f}", None),
        ("retry after 60000", None),
        ("retry after 99999999999 seconds", None),
        ("try again in 0s", None),
    ],
)
def test_words_that_name_a_time_or_nothing_that_can_be_meant_are_no_delay(message: str, seconds: float | None) -> None:
    assert retry_delay_s({}, said(message), NOW) == seconds


NUMBERS = ["1", "1.", ".1", "1 ", "1a", "1ms", "1m ", "9.9.", "1\u00b5", " \t", "try again in ", "retry after 1 "]


@pytest.mark.parametrize("piece", NUMBERS)
def test_a_text_is_read_at_its_beginning_and_a_header_only_where_it_is_short(piece: str) -> None:
    flood = piece * (60_000 // len(piece))

    assert delay_in_text_s(flood[:1024].ljust(1024) + "try again in 7s") == delay_in_text_s(flood)
    assert parse_duration_s(flood) is None
    assert parse_retry_after_s(flood, NOW) is None
    assert retry_delay_s({"retry-after-ms": flood, "retry-after": flood, **used_up(flood)}, said(""), NOW) is None


@pytest.mark.parametrize("name", ["_PART", "_TEXT", "_GO_PARTS", "_GO_PART"])
def test_no_pattern_gives_back_what_it_has_read_so_each_takes_as_many_steps_as_there_are_letters(name: str) -> None:
    pattern = getattr(retry_delay, name).pattern
    without_possessive = re.sub(r"[+*?]\+", "", pattern)

    assert not {"+", "*"} & set(without_possessive)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_headers_make_a_delay_of_nothing_or_of_more_than_a_month(after: str, reset: str) -> None:
    delay_s = retry_delay_s({"retry-after": after, "retry-after-ms": reset, **used_up(reset)}, said(after), NOW)

    assert delay_s is None or 0 < delay_s <= 31 * 86_400


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "39s"}
OF_A_GATEWAY = {"metadata": {"headers": {"X-RateLimit-Limit": "20", "X-RateLimit-Reset": f"{(NOW + 20) * 1000:.0f}"}}}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ms-retry-after-ms": "7000", "retry-after": "60"}, 7),
        ({"retry-after-ms": "500", "x-ms-retry-after-ms": "7000"}, 0.5),
        ({"ratelimit-reset": "20", "ratelimit-remaining": "0"}, 20),
        ({"x-ratelimit-reset": f"{NOW + 20:.0f}"}, 20),
        ({"x-ratelimit-reset": f"{(NOW + 20) * 1000:.0f}", "x-ratelimit-remaining": "0"}, 20),
        ({"x-ratelimit-reset": "20", "x-ratelimit-remaining": "3"}, None),
        ({"x-ratelimit-reset": f"{NOW + 54_000:.0f}", "x-ratelimit-remaining": "0"}, None),
        ({"ratelimit-reset": "20", "retry-after": "3"}, 3),
    ],
)
def test_other_headers_of_a_delay(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_delay_s(headers, said(""), NOW) == seconds
    if not {"retry-after", "x-ms-retry-after-ms"} & headers.keys():
        assert retry_delay_s(headers, said("Try again in 5s"), NOW) == 5


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"a": 1}, RETRY_INFO]}, 39),
        ([{"error": {"code": 429, "details": [RETRY_INFO]}}], 39),
        ({"message": "retry in 5 s", "details": [RETRY_INFO]}, 39),
        ({"code": 429, **OF_A_GATEWAY}, 20),
        ({"message": "Try again in 5s", **OF_A_GATEWAY}, 5),
        ({"details": "none", "metadata": "none"}, None),
        ({"details": [[], {"retryDelay": 3}], "metadata": {"headers": []}}, None),
        ({"metadata": {"headers": {"X-RateLimit-Reset": {}}}}, None),
    ],
    ids=str,
)
def test_a_delay_that_stands_in_the_error_itself(error: object, seconds: float | None) -> None:
    assert retry_delay_s({}, ErrorFields.of(error), NOW) == seconds
    assert retry_delay_s({"retry-after": "3"}, ErrorFields.of(error), NOW) == 3


def test_a_delay_in_the_error_counts_inside_a_200_too() -> None:
    failure = classify_in_stream(ErrorFields.of({"code": 429, "details": [RETRY_INFO]}), owns_credential=True)

    assert (failure.kind, failure.retry_after_s) == (FailureKind.RATE_LIMITED, 39)


@pytest.mark.parametrize(("delay_s", "kind"), [(9.0, FailureKind.OVERLOADED), (None, FailureKind.SERVER_ERROR)])
def test_a_529_with_a_delay_is_a_limit_and_without_one_a_failure(delay_s: float | None, kind: FailureKind) -> None:
    words = ErrorFields.of({"type": "overloaded_error", "message": "Overloaded"})

    assert classify(529, words, owns_credential=True, retry_after_s=delay_s).kind is kind
