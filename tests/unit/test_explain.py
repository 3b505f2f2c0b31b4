"""Who would be asked, why or why not, and what the client gets where nobody is."""

from pathlib import Path

import pytest

from entrypoints.explain.explanation import Explanation
from tests.unit.explain_scenes import PLENTY, TIERS, config, explained, status, words


def order(told: Explanation) -> list[str]:
    return [each.endpoint for each in told.candidates if each.order]


def said(told: Explanation) -> dict[str, str]:
    return {each.endpoint: each.availability.value for each in told.candidates}


def test_after_a_start_the_weights_decide(tmp_path: Path) -> None:
    told = explained(tmp_path, config())

    assert (told.outcome.kind, told.outcome.endpoint) == ("asked", "a")
    assert order(told) == ["a", "b", "c"]
    assert said(told) == {"a": "ready", "b": "ready", "c": "fallback"}
    assert [(each.share, each.share_now, each.tier) for each in told.candidates] == [
        (75.0, 75.0, "first"),
        (25.0, 25.0, "first"),
        (100.0, 0.0, "fallback"),
    ]
    assert list(told.next) == ["a", "a", "b", "a"] * 2 + ["a", "a"]


def test_an_endpoint_that_cools_is_asked_last_and_its_share_goes_to_the_others(tmp_path: Path) -> None:
    told = explained(
        tmp_path, config(), status(a={"state": "cooling", "cooling_s": 20.0, "why": "tls_failed"}, b={}, c={})
    )
    cooling = told.candidates[-1]

    assert order(told) == ["b", "c", "a"]
    assert said(told) == {"b": "ready", "c": "fallback", "a": "cooling"}
    assert (cooling.opens_in_s, cooling.is_last_resort, cooling.why) == (20.0, True, "tls_failed")
    assert [each.share_now for each in told.candidates] == [100.0, 0.0, 0.0]
    assert "cooling, for 20.0 s more" in words(told) and "tls_failed" in words(told)


def test_the_fallback_takes_it_where_the_first_tier_rests(tmp_path: Path) -> None:
    rests = {"state": "cooling", "cooling_s": 20.0}
    told = explained(tmp_path, config(), status(a=rests, b=rests, c={}))

    assert (told.outcome.endpoint, list(told.next)) == ("c", ["c"] * 10)
    assert {each.endpoint: each.share_now for each in told.candidates} == {"a": 0.0, "b": 0.0, "c": 100.0}


def test_where_all_cool_the_one_whose_cooldown_ends_first_is_asked_all_the_same(tmp_path: Path) -> None:
    live = status(**{name: {"state": "cooling", "cooling_s": s} for name, s in (("a", 30.0), ("b", 5.0), ("c", 9.0))})
    told = explained(tmp_path, config(), live)

    assert (told.outcome.kind, told.outcome.endpoint, told.candidates[0].is_last_resort) == ("asked", "b", True)
    assert "last resort" in words(told) and list(told.next) == []


def test_a_probe_and_a_ramp_let_in_what_they_let_in(tmp_path: Path) -> None:
    live = status(a={"state": "half-open"}, b={"ramp": 4, "in_flight": 3}, c={"state": "probing", "in_flight": 1})
    told = explained(tmp_path, config(), live)
    by_name = {each.endpoint: each for each in told.candidates}

    assert said(told) == {"a": "ready", "b": "ready", "c": "probing"}
    assert (by_name["a"].is_probe, by_name["b"].is_probe, by_name["b"].ramp) == (True, False, 4)
    # One probe, and one more of those that the ramp has at a time.
    assert list(told.next) == ["a", "b"]


def test_what_was_sent_before_a_cooldown_is_no_probe(tmp_path: Path) -> None:
    told = explained(tmp_path, config(), status(a={"state": "half-open", "in_flight": 2}, b={}, c={}))

    assert said(told)["a"] == "ready" and told.outcome.endpoint == "a"


def test_a_ramp_that_is_full_lets_nobody_in(tmp_path: Path) -> None:
    told = explained(tmp_path, config(), status(a={"ramp": 2, "in_flight": 2}, b={}, c={}))

    assert said(told)["a"] == "ramping"


def test_an_endpoint_without_a_token_is_passed_over(tmp_path: Path) -> None:
    told = explained(tmp_path, config(), status(a={"state": "cooling", "cooling_s": 0.0}, b={}, c={}))

    assert said(told)["a"] == "no credential"
    assert order(told) == ["b", "c"]


def test_without_any_token_the_client_is_told_so(tmp_path: Path) -> None:
    told = explained(tmp_path, config(), status(**{name: {"state": "cooling", "cooling_s": 0.0} for name in "abc"}))

    assert told.outcome.kind == "refused"
    assert (told.outcome.status, told.outcome.code) == (503, "upstream_credential_unavailable")


@pytest.mark.parametrize("provider", ["openai", "azure"])
@pytest.mark.parametrize("limit", ["requests", "tokens"])
def test_limits_that_are_used_up_are_waited_for_or_passed_over(tmp_path: Path, limit: str, provider: str) -> None:
    full = {limit: {"limit": 60, "remaining": 0, "reserved": 0, "reset_s": 8.0}}
    models = TIERS
    if provider == "azure":
        models = models.replace("base_url: 'https://a.example/v1'", "base_url: 'https://a.openai.azure.com/openai/v1'")
    told = explained(tmp_path, config(models), status(a=full, b={}, c={}), tokens=10)
    alone = explained(tmp_path, config(models), status(a=full, b=full, c=full), tokens=10)
    shown = getattr(told.candidates[2], limit)

    assert said(told) == {"b": "ready", "c": "fallback", "a": f"no room for {limit}"}
    assert (shown.limit, shown.remaining, shown.reset_s) == (60, 0, 8.0)
    assert alone.outcome.kind == "waits" and 0 < alone.outcome.after_s <= 8.6
    assert alone.candidates[0].at_s == alone.outcome.after_s and list(alone.next) == []


def test_a_429_that_outlasts_max_wait_is_what_the_client_gets(tmp_path: Path) -> None:
    live = status(**{name: {"clock_s": 45.0} for name in "abc"})
    told = explained(tmp_path, config(), live)
    patient = explained(tmp_path, config(general="{max_wait: 50}"), live)

    assert (told.outcome.kind, told.outcome.status, told.outcome.code) == ("refused", 429, "rate_limit_exceeded")
    assert told.outcome.retry_after_s == 45.0
    assert said(told) == dict.fromkeys("abc", "throttled")
    assert "429 rate_limit_exceeded, retry-after 45.0 s" in words(told)
    assert (patient.outcome.kind, round(patient.outcome.after_s)) == ("waits", 45)


def test_an_overload_is_no_limit_of_the_clients(tmp_path: Path) -> None:
    overloaded = {"clock_s": 45.0, "why": "overloaded (529)"}
    told = explained(tmp_path, config(), status(a=overloaded, b=overloaded, c=overloaded))

    assert (told.outcome.status, told.outcome.code) == (503, "upstream_overloaded")


def test_what_failed_over_waits_for_a_limit_that_passes(tmp_path: Path) -> None:
    told = explained(tmp_path, config(), status(a={}, b={"clock_s": 5.0}, c={"clock_s": 9.0}))

    assert order(told) == ["a", "b", "c"]
    assert [each.at_s for each in told.candidates] == [0.0, 5.0, 9.0]


def test_the_size_of_the_request_decides_where_it_fits(tmp_path: Path) -> None:
    live = status(a={"tokens": PLENTY}, b={}, c={})

    assert said(explained(tmp_path, config(), live, tokens=20))["a"] == "ready"
    assert said(explained(tmp_path, config(), live, tokens=85))["a"] == "scarce"


def test_the_limits_of_the_file_count_as_well(tmp_path: Path) -> None:
    text = config(TIERS.replace("id: a,", "id: a, rpm: 2,"))

    assert list(explained(tmp_path, text).next)[:4] == ["a", "b", "b", "b"]


def test_endpoints_that_share_a_limit_share_what_is_left_of_it(tmp_path: Path) -> None:
    same = TIERS.replace("https://b.example", "https://a.example")
    told = explained(
        tmp_path, config(same), status(a={"requests": PLENTY}, b={"requests": PLENTY, "in_flight": 3}, c={})
    )
    left = {each.endpoint: each.requests.remaining for each in told.candidates}

    assert left["a"] == left["b"] == 90


def test_a_clients_key_binds_it_to_one_endpoint_in_groups_with_affinity(tmp_path: Path) -> None:
    text = config(group="affinity: prompt_cache_key")
    told = {key: explained(tmp_path, text, client=key) for key in "klmnopqrst"}

    assert {each.outcome.endpoint for each in told.values()} == {"a", "b"}
    for each in told.values():
        assert each.has_affinity and set(each.next) == {each.outcome.endpoint}
        assert each.candidates[0].share_now == 100.0
    assert "has no affinity" in words(explained(tmp_path, config(), client="k"))


def test_a_model_that_is_no_groups_goes_where_the_file_says(tmp_path: Path) -> None:
    told = explained(tmp_path, config(general="{passthrough_group: gpt}"), model="gpt-9")

    assert (told.model, told.group, told.outcome.endpoint) == ("gpt-9", "gpt", "a")
    assert "passthrough_group 'gpt' takes it" in words(told)


def test_no_more_endpoints_are_asked_than_retries_are_allowed(tmp_path: Path) -> None:
    told = explained(tmp_path, config(general="{num_retries: 1}"))

    assert order(told) == ["a", "b"]
    assert "no more than 2 endpoints" in words(told)


def test_a_status_of_another_configuration_is_told(tmp_path: Path) -> None:
    told = words(explained(tmp_path, config(), status(a={}, zz={})))

    assert "this one has no zz" in told and "does not have b, c" in told


def test_requests_that_wait_already_are_told(tmp_path: Path) -> None:
    assert "3 request(s) wait" in words(explained(tmp_path, config(), status(waiting=3, a={}, b={}, c={})))


PRIORITIES = """\
    - {id: a, model: m, priority: 1, weight: 3, params: {api_key: %(key)s, base_url: 'https://a.example/v1'}}
    - {id: b, model: m, params: {api_key: %(key)s, base_url: 'https://b.example/v1'}}
    - {id: c, model: m, priority: 1, params: {api_key: %(key)s, base_url: 'https://c.example/v1'}}
    - {id: d, model: m, priority: 2, params: {api_key: %(key)s, base_url: 'https://d.example/v1'}}
"""
FULL = {"requests": {"limit": 100, "remaining": 0, "reserved": 0, "reset_s": 100}, "clock_s": 3.0}


def test_a_later_tier_is_told_as_one_and_follows_the_earlier_ones(tmp_path: Path) -> None:
    told = explained(tmp_path, config(PRIORITIES))

    assert said(told) == {"a": "tier", "b": "ready", "c": "tier", "d": "tier"}
    assert order(told) == ["b", "a", "c", "d"]
    assert {each.endpoint: (each.tier, each.share, each.share_now) for each in told.candidates} == {
        "a": ("priority 1", 75.0, 0.0),
        "b": ("first", 100.0, 100.0),
        "c": ("priority 1", 25.0, 0.0),
        "d": ("priority 2", 100.0, 0.0),
    }
    assert "only while no endpoint of an earlier tier can" in words(told)


def test_the_earliest_tier_with_room_shares_what_spills(tmp_path: Path) -> None:
    told = explained(tmp_path, config(PRIORITIES), status(a={}, b=FULL, c={}, d={}))

    assert (told.outcome.kind, told.outcome.endpoint) == ("asked", "a")
    assert {each.endpoint: each.share_now for each in told.candidates} == {"a": 75.0, "b": 0.0, "c": 25.0, "d": 0.0}
    assert set(told.next) == {"a", "c"}


def test_a_request_that_may_wait_for_the_first_tier_is_said_to(tmp_path: Path) -> None:
    told = explained(tmp_path, config(PRIORITIES, "{max_wait_for_tier: 5}"), status(a={}, b=FULL, c={}, d={}))

    assert (told.outcome.kind, told.outcome.endpoint) == ("waits", "b")
    assert 3.0 <= told.outcome.after_s < 4.0
    assert any("max_wait_for_tier" in note for note in told.notes)
