"""A token's life: fetched at the start, renewed before it expires and after a 401, by one fetch at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from adapters.upstreams.entra import _words
from application.ports import UpstreamFailed
from application.state.access_tokens import LONGEST_REST_S, WAIT_S, YOUNG_S, TokenSource, TokenUnavailable
from domain.failure import FailureKind
from domain.secret import Secret
from tests.unit.scripted_tokens import LIFE_S, SCOPE, RecordingTokenAlarm, ScriptedTokens, SteppedClock, settle


class Bench:
    """One source with everything around it."""

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.tokens = ScriptedTokens(self.clock)
        self.alarm = RecordingTokenAlarm()
        self.missing: list[bool] = []
        self.source = TokenSource(
            SCOPE, self.tokens, self.clock, lambda: 0.5, self.alarm, when_missing=self.missing.append
        )

    async def waited(self, seconds: float, asked: Coroutine[Any, Any, str | None]) -> str | None:
        """What comes of it, so much later."""
        task = asyncio.ensure_future(asked)
        await settle()
        await self.clock.pass_time(seconds)
        return await task

    async def start(self) -> None:
        self.source.start()
        await settle()

    @property
    def current(self) -> str | None:
        token = self.source.current
        return None if token is None else token.reveal()

    async def token(self, patience_s: float = 60.0) -> str:
        return (await self.source.token(patience_s)).reveal()

    async def other_than(self, refused: str, patience_s: float = 60.0) -> str | None:
        token = await self.source.other_than(Secret(refused), patience_s)
        return None if token is None else token.reveal()


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.source.close()


async def test_the_first_token_is_fetched_at_the_start_and_read_from_memory_ever_after(bench: Bench) -> None:
    await bench.start()

    assert [await bench.token() for _ in range(3)] == ["token-1"] * 3
    assert len(bench.tokens.asked) == 1
    assert bench.alarm.told == ["ready"]


async def test_a_token_is_renewed_at_four_fifths_of_its_life_again_and_again(bench: Bench) -> None:
    await bench.start()
    seen = [bench.current]
    for _ in range(30):
        await bench.clock.pass_time(LIFE_S / 10)
        seen.append(bench.current)

    assert None not in seen
    gaps = [later - earlier for earlier, later in zip(bench.tokens.asked, bench.tokens.asked[1:], strict=False)]
    assert gaps == [pytest.approx(0.8 * LIFE_S, abs=LIFE_S / 100)] * 3
    assert bench.alarm.told == ["ready"]
    assert bench.missing == []


async def test_a_provider_that_gives_the_same_token_again_is_asked_ever_closer_to_its_end(bench: Bench) -> None:
    bench.tokens.repeats = True
    end = bench.clock.now() + LIFE_S
    await bench.start()
    while bench.clock.now() < end - 30:
        bench.tokens.life_s = end - bench.clock.now()
        await bench.clock.pass_time(10)

    assert bench.current == "token-1"
    assert 3 <= len(bench.tokens.asked) <= 10


async def test_while_renewing_fails_the_old_token_serves_to_its_end_with_a_line_for_each_change(bench: Bench) -> None:
    await bench.start()
    bench.tokens.fails = TokenUnavailable("AADSTS7000215")
    await bench.clock.pass_time(LIFE_S - 10)

    assert bench.current == "token-1"
    assert bench.alarm.told == ["ready", "failing"]
    assert bench.missing == []
    await bench.clock.pass_time(20)
    assert bench.current is None
    assert bench.alarm.told == ["ready", "failing", "missing"]
    assert bench.missing == [True]
    bench.tokens.fails = None
    await bench.clock.pass_time(LONGEST_REST_S)
    assert bench.current == "token-2"
    assert bench.alarm.told == ["ready", "failing", "missing", "ready"]
    assert bench.missing == [True, False]


async def test_fetches_that_fail_back_off_to_a_minute_and_do_not_stop(bench: Bench) -> None:
    bench.tokens.fails = TokenUnavailable("no")
    await bench.start()
    await bench.clock.pass_time(600)
    gaps = [later - earlier for earlier, later in zip(bench.tokens.asked, bench.tokens.asked[1:], strict=False)]

    assert gaps[0] < 10
    assert gaps == sorted(gaps)
    assert LONGEST_REST_S / 2 <= gaps[-1] <= LONGEST_REST_S + 6
    assert bench.alarm.told == ["missing"]


@pytest.mark.parametrize(
    ("error", "shown"), [(TokenUnavailable("safe words"), "safe words"), (KeyError("canary-token"), "KeyError")]
)
async def test_what_a_library_raises_ends_nothing_and_its_text_is_not_told(
    bench: Bench, error: Exception, shown: str
) -> None:
    bench.tokens.fails = error
    await bench.start()

    assert bench.alarm.reasons == [shown]
    bench.tokens.fails = None
    await bench.clock.pass_time(10)
    assert bench.current == "token-1"


async def test_a_token_that_has_expired_when_it_comes_is_none(bench: Bench) -> None:
    bench.tokens.life_s = -1
    await bench.start()

    assert bench.current is None
    assert bench.alarm.told == ["missing"]


async def test_requests_before_the_first_token_wait_for_it_together(bench: Bench) -> None:
    bench.tokens.gate.clear()
    await bench.start()
    requests = [asyncio.ensure_future(bench.token()) for _ in range(20)]
    await settle()

    assert not any(request.done() for request in requests)
    bench.tokens.gate.set()
    assert await asyncio.gather(*requests) == ["token-1"] * 20
    assert len(bench.tokens.asked) == 1


async def test_a_source_that_nobody_started_is_asked_by_the_first_request(bench: Bench) -> None:
    assert await asyncio.gather(*(bench.token() for _ in range(5))) == ["token-1"] * 5
    assert len(bench.tokens.asked) == 1


async def test_a_request_that_is_cancelled_while_it_waits_leaves_the_fetch_to_the_others(bench: Bench) -> None:
    bench.tokens.gate.clear()
    await bench.start()
    gone, stays = (asyncio.ensure_future(bench.token()) for _ in range(2))
    await settle()
    gone.cancel()
    await settle()
    bench.tokens.gate.set()

    assert await stays == "token-1"
    assert gone.cancelled()
    assert len(bench.tokens.asked) == 1


async def test_a_request_waits_no_longer_than_its_patience(bench: Bench) -> None:
    bench.tokens.gate.clear()
    await bench.start()

    with pytest.raises(UpstreamFailed) as caught:
        await bench.waited(0.01, bench.token(patience_s=0.01))
    assert caught.value.failure.kind is FailureKind.NO_CREDENTIAL
    assert bench.alarm.told == []


async def test_when_the_first_token_takes_too_long_requests_go_elsewhere_at_once(bench: Bench) -> None:
    bench.tokens.gate.clear()
    await bench.start()
    await bench.clock.pass_time(WAIT_S)

    for _ in range(3):
        with pytest.raises(UpstreamFailed):
            await bench.token()
    assert bench.alarm.told == ["missing"]
    assert bench.missing == [True]
    bench.tokens.gate.set()
    await settle()
    assert await bench.token() == "token-1"
    assert bench.missing == [True, False]


async def test_after_a_failed_fetch_requests_do_not_wait_for_the_next_one(bench: Bench) -> None:
    bench.tokens.fails = TokenUnavailable("no")
    await bench.start()

    with pytest.raises(UpstreamFailed) as caught:
        await bench.token()
    assert caught.value.failure.meaning.next_endpoint
    assert len(bench.tokens.asked) == 1


async def test_a_refused_token_is_renewed_once_for_all_that_were_refused(bench: Bench) -> None:
    await bench.start()
    await bench.clock.pass_time(YOUNG_S)
    bench.tokens.gate.clear()
    refused = [asyncio.ensure_future(bench.other_than("token-1")) for _ in range(20)]
    await settle()
    bench.tokens.gate.set()

    assert await asyncio.gather(*refused) == ["token-2"] * 20
    assert await bench.other_than("token-1") == "token-2"
    assert len(bench.tokens.asked) == 2


async def test_a_young_token_that_is_refused_is_not_renewed(bench: Bench) -> None:
    await bench.start()
    await bench.clock.pass_time(YOUNG_S)
    await bench.other_than("token-1")
    await bench.clock.pass_time(YOUNG_S / 2)

    assert await bench.other_than("token-2") is None
    assert len(bench.tokens.asked) == 2
    await bench.clock.pass_time(YOUNG_S)
    assert await bench.other_than("token-2") == "token-3"


@pytest.mark.parametrize("mishap", ["fails", "hangs", "repeats"])
async def test_when_a_refused_token_cannot_be_renewed_the_refusal_stands_and_the_token_serves_others(
    bench: Bench, mishap: str
) -> None:
    await bench.start()
    await bench.clock.pass_time(YOUNG_S)
    if mishap == "fails":
        bench.tokens.fails = TokenUnavailable("no")
    elif mishap == "hangs":
        bench.tokens.gate.clear()
    else:
        bench.tokens.repeats = True

    assert await bench.waited(0.01, bench.other_than("token-1", patience_s=0.01)) is None
    assert bench.current == "token-1"
    assert bench.missing == []


async def test_a_renewal_after_a_refusal_puts_off_the_one_that_was_due(bench: Bench) -> None:
    await bench.start()
    await bench.clock.pass_time(LIFE_S / 2)
    await bench.other_than("token-1")
    await bench.clock.pass_time(LIFE_S / 2)

    assert bench.current == "token-2"
    assert len(bench.tokens.asked) == 2


async def test_closing_ends_a_fetch_that_hangs(bench: Bench) -> None:
    bench.tokens.gate.clear()
    await bench.start()
    await bench.source.close()

    with pytest.raises(UpstreamFailed):
        await bench.waited(0.01, bench.token(patience_s=0.01))


async def test_no_token_is_shown(bench: Bench) -> None:
    await bench.start()
    parts: list[Callable[[], object]] = [lambda: bench.source, lambda: vars(bench.source), lambda: bench.source.current]

    assert not [part for part in parts if "token-1" in f"{part()!r} {part()}"]


def test_of_an_error_of_entra_only_its_kind_code_and_the_credentials_tried_are_told() -> None:
    text = (
        "DefaultAzureCredential failed to retrieve a token from the included credentials.\n"
        "Attempted credentials:\n\tEnvironmentCredential: Authentication failed: AADSTS7000215: Invalid client secret "
        "provided: canary-secret. Trace ID: 1\n"
    )

    assert _words(ValueError(text)) == "ValueError AADSTS7000215, tried EnvironmentCredential"
    assert _words(ValueError("canary")) == "ValueError"
