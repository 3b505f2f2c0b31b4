"""The simulated provider's provisioned deployment counts, refuses and spills over as Azure says that its own does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.account import Account
from simulator.calls import Request, understand
from simulator.protocol.limit_headers import limit_headers, limiter_for
from simulator.protocol.reply import Reply
from simulator.provisioned import ProvisionedLimiter
from simulator.settings import ProviderSettings


def ask(account: Account, now_s: float = 0.0, words: int = 10, **question: object) -> Reply:
    body = json.dumps({"model": "ptu", "messages": [{"role": "user", "content": "x" * words}], **question}).encode()
    request = Request("POST", "/openai/v1/chat/completions", ((b"api-key", b"k"),), body)
    return account.answer(understand(request), now_s, now_s)


def test_a_request_of_any_size_is_let_in_below_100_percent_and_none_above() -> None:
    limiter = ProvisionedLimiter(60_000, holds_s=10.0)

    assert limiter.admit(9_999, 0.0).refused_by is None
    assert limiter.admit(21_001, 0.0).refused_by is None
    refused = limiter.admit(1, 0.0)

    assert (refused.refused_by, refused.wait_s) == ("tokens", 21.0)
    assert limiter.admit(1, 20.9).refused_by == "tokens"
    assert limiter.admit(1, 21.0).refused_by is None


def test_what_a_request_took_less_comes_off_when_it_ends() -> None:
    limiter = ProvisionedLimiter(60_000, holds_s=10.0)
    limiter.admit(20_000, 0.0)
    limiter.correct(15_000, 4.0)

    assert limiter.admit(1, 3.9).refused_by == "tokens"
    assert limiter.admit(1, 4.0).refused_by is None


@given(st.lists(st.tuples(st.integers(1, 50_000), st.floats(0.0, 20.0)), max_size=50), st.floats(0.0, 1.0))
def test_over_time_it_lets_in_what_drains_and_what_it_holds(requests: list[tuple[int, float]], less: float) -> None:
    limiter, now, taken = ProvisionedLimiter(60_000, holds_s=10.0), 0.0, 0.0
    for tokens, pause_s in requests:
        now += pause_s
        verdict = limiter.admit(tokens, now)
        if verdict.refused_by is None:
            taken += tokens * (1 - less)
            limiter.correct(tokens * less, now)
            assert taken <= 1_000 * now + 10_000 + tokens * (1 - less) + 1
        else:
            now += verdict.wait_s
            assert limiter.admit(0, now).refused_by is None


def test_it_tells_how_full_it_is_and_nothing_of_what_remains() -> None:
    limiter = limiter_for(ProviderSettings(header_style="ptu", tpm=60_000))

    assert limit_headers(limiter.admit(5_000, 0.0), "ptu") == b"azure-openai-deployment-utilization: 50.0%\r\n"
    assert limit_headers(limiter.admit(7_500, 0.0), "ptu") == b"azure-openai-deployment-utilization: 125.0%\r\n"


def test_a_refusal_says_when_it_is_below_100_percent_again() -> None:
    account = Account(ProviderSettings(header_style="ptu", tpm=6_000, latency_s=1.0))
    assert ask(account, max_tokens=1_100).status == 200

    refused = ask(account)

    assert refused.status == 429
    assert b"retry-after-ms: 1" in refused.headers and b"retry-after: 2\r\n" in refused.headers
    assert b"x-ratelimit" not in refused.headers
    assert ask(account, now_s=1.0).status == 200, "the answer had sixteen tokens, so most of it came back at its end"


def test_an_output_token_counts_for_as_many_input_tokens_as_it_is_told() -> None:
    account = Account(ProviderSettings(header_style="ptu", tpm=6_000, latency_s=1.0, output_token_ratio=4))
    given = 4 * 100  # the most that could be asked for, at first
    assert ask(account, max_tokens=100).status == 200

    used = ask(account, now_s=0.0, max_tokens=1).headers.decode()
    assert float(used.partition("utilization: ")[2].partition("%")[0]) > 100 * given / 1000

    after = ask(account, now_s=1.0, max_tokens=16).headers.decode()
    assert float(after.partition("utilization: ")[2].partition("%")[0]) < 100 * given / 1000
    account.apply(ProviderSettings(header_style="ptu", tpm=6_000, output_token_ratio=1))
    anew = ask(account, now_s=1.0, max_tokens=16).headers.decode()
    assert float(anew.partition("utilization: ")[2].partition("%")[0]) < 10


def test_with_spillover_a_standard_deployment_answers_and_says_so() -> None:
    account = Account(ProviderSettings(header_style="ptu", tpm=6_000, latency_s=1.0, spillover=True))
    first = ask(account, max_tokens=1_100)

    spilled = ask(account)

    assert (first.status, spilled.status) == (200, 200)
    assert b"x-ms-spillover" not in first.headers
    assert b"x-ms-spillover-from-deployment: ptu\r\n" in spilled.headers
    assert b"x-ms-deployment-name: ptu-standard\r\n" in spilled.headers
    assert b"azure-openai-deployment-utilization" not in spilled.headers


@pytest.mark.parametrize(("spillover", "status"), [(False, 400), (True, 200)])
def test_a_prompt_beyond_128k_tokens_is_too_long_for_it(spillover: bool, status: int) -> None:
    account = Account(ProviderSettings(header_style="ptu", tpm=60_000_000, spillover=spillover))

    assert ask(account, words=4 * 127_000).status == 200
    reply = ask(account, words=4 * 128_001)

    assert reply.status == status
    if status == 400:
        assert json.loads(reply.body)["error"]["code"] == "context_length_exceeded"
