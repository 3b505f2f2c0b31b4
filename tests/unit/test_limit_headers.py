"""`x-ratelimit-*` as OpenAI and Azure really send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.rate_limit_headers import readings
from domain.rate_limit.limit_reading import Reading, Readings

OPENAI = {
    "x-ratelimit-limit-project-tokens": "150000000",
    "x-ratelimit-limit-requests": "30000",
    "x-ratelimit-limit-tokens": "150000000",
    "x-ratelimit-remaining-project-tokens": "149999595",
    "x-ratelimit-remaining-requests": "29999",
    "x-ratelimit-remaining-tokens": "149999595",
    "x-ratelimit-reset-project-tokens": "0s",
    "x-ratelimit-reset-requests": "2ms",
    "x-ratelimit-reset-tokens": "0s",
}
AZURE_2024 = {"x-ratelimit-remaining-requests": "79", "x-ratelimit-remaining-tokens": "61353"}


def read(headers: dict[str, str]) -> Readings:
    return readings(tuple(headers.items()))


def test_openais_whole_set_is_read() -> None:
    assert read(OPENAI) == Readings(Reading(30000, 29999, 0.002), Reading(150000000, 149999595, 0.0))


def test_azures_bare_numbers_are_seconds_and_what_is_missing_is_unknown() -> None:
    assert read(AZURE_2024) == Readings(Reading(None, 79, None), Reading(None, 61353, None))
    assert read({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "10"}).requests.reset_s == 10


def test_the_scarcer_of_several_token_limits_counts() -> None:
    headers = {**OPENAI, "x-ratelimit-remaining-project-tokens": "5", "x-ratelimit-reset-project-tokens": "3s"}

    assert read(headers).tokens == Reading(150000000, 5, 3.0)


@pytest.mark.parametrize("value", ["-1", "", "many", "1e99", "nan", "-0.5", "inf"])
def test_negative_absurd_and_unreadable_values_are_unknown(value: str) -> None:
    headers = {f"x-ratelimit-{what}-tokens": value for what in ("limit", "remaining")}

    assert read(headers).tokens.is_empty


def test_azures_responses_api_that_says_minus_one_says_nothing() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "-1",
        "x-ratelimit-remaining-tokens": "-1",
        "x-ratelimit-reset-tokens": "0",
    }

    assert read(headers).tokens.is_empty


def test_a_limit_of_nothing_is_unknown() -> None:
    assert read({"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}).requests.limit is None


def test_a_reset_of_more_than_a_day_is_unknown() -> None:
    assert read({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "999999"}).tokens.reset_s is None


@pytest.mark.parametrize(
    "value",
    [
        "12:30:00", "2026-11-30T12:30:00Z", "Mon, 30 Nov 2026 12:30:00 GMT", "1790000000", "1790000000000", "60000",
        "1500", "-1", "-1s", "nan", "inf", "", " ", "10, 20", "9" * 400, "25h0m0s",
    ],
)  # fmt: skip
def test_a_reset_that_is_a_point_in_time_or_cannot_be_seconds_is_unknown(value: str) -> None:
    headers = {"x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "0"}

    assert read({**headers, "x-ratelimit-reset-requests": value}).requests == Reading(5, 0, None)


@pytest.mark.parametrize(
    ("value", "seconds", "is_bare"),
    [("3", 3, True), ("0", 0, True), ("11.38", 11.38, True), ("3s", 3, False), ("2m59.56s", 179.56, False)],
)
def test_a_reset_without_a_unit_is_marked_as_one(value: str, seconds: float, is_bare: bool) -> None:
    headers = {"x-ratelimit-remaining-tokens": "4", "x-ratelimit-reset-tokens": value}

    assert read(headers).tokens == Reading(None, 4, seconds, is_bare)


@given(st.dictionaries(st.sampled_from(sorted(OPENAI)), st.text(max_size=12)))
def test_no_header_breaks_it_or_reads_as_negative(headers: dict[str, str]) -> None:
    found = read(headers)

    for reading in (found.requests, found.tokens):
        for value in (reading.limit, reading.remaining, reading.reset_s):
            assert value is None or value >= 0
