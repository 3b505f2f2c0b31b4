"""What an endpoint is sent and says is counted, and survives what is known of it."""

from application.endpoints.endpoint_state import EndpointState
from application.endpoints.pool import endpoint_states
from application.observing.cost_tally import CostTally
from application.observing.tallies import EndpointTally, Tallies
from domain.endpoint import Endpoint
from domain.group import ModelGroup
from domain.health.cooldown import CooldownPolicy
from domain.rate_limit.token_estimate import Usage
from domain.retry import RetryPolicy

ENDPOINT = Endpoint("gpt/1", "m", "openai")
GROUP = ModelGroup("gpt", (ENDPOINT,), CooldownPolicy(), RetryPolicy())


def test_tokens_add_up_and_those_that_were_cached_are_told_apart() -> None:
    state = EndpointState(ENDPOINT, CooldownPolicy())
    state.took(Usage(100, 20, 64))
    state.took(Usage(10, 1))

    tally = state.tally
    assert (tally.input_tokens, tally.cached_tokens, tally.output_tokens) == (110, 64, 21)


def test_the_time_between_tokens_is_a_streams_time_over_the_steps_between_them() -> None:
    state = EndpointState(ENDPOINT, CooldownPolicy())
    state.streamed(Usage(1, 11), 0.5)
    for tokens in (0, 1):
        state.streamed(Usage(1, tokens), 9.0)

    between = state.tally.between_tokens
    assert (sum(between.counts), between.sum_ms) == (1, 50.0)


def test_what_is_counted_outlives_what_is_known() -> None:
    tallies = Tallies()
    first = endpoint_states([GROUP], tallies)["gpt/1"]
    first.took(Usage(1, 2))
    anew = endpoint_states([GROUP], tallies)["gpt/1"]
    anew.took(Usage(1, 2))

    assert anew is not first
    assert tallies.counted() == {
        "gpt/1": EndpointTally("gpt", input_tokens=2, output_tokens=4, costs=CostTally(unpriced=2))
    }
