"""The simulated providers as an adapter of `Upstream`: limits, latency, outages, storms."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.upstreams.openai.rate_limit_headers import readings
from application.messages import UpstreamCall, header
from application.ports import UpstreamFailed
from domain.failure import FailureKind
from entrypoints.simulate.options import Latency, Trouble
from entrypoints.simulate.scenario import Plan, Scenario
from entrypoints.simulate.world.journal import Journal
from entrypoints.simulate.world.providers import ENDPOINT, OUTPUT, WAY_S, SimulatedProviders, SimulatedReply
from entrypoints.virtual_time import VirtualClock, VirtualLoop
from simulator.settings import ProviderSettings

T = TypeVar("T")
AT_ONCE = Latency(0.0, 0.0)
Story = Callable[[SimulatedProviders, VirtualClock], Awaitable[T]]


def plan(
    bucket: str = "east",
    rpm: int | None = None,
    tpm: int | None = None,
    style: str = "openai",
    latency: Latency = AT_ONCE,
    troubles: tuple[Trouble, ...] = (),
) -> Plan:
    return Plan(bucket, ProviderSettings(bucket, rpm=rpm, tpm=tpm, header_style=style), True, latency, troubles)  # type: ignore[arg-type]


def call(
    endpoint: str = "east", body: bytes = b"x" * 40, output: int = 20, first_byte_s: float = 600.0
) -> UpstreamCall:
    headers = ((ENDPOINT, endpoint), (OUTPUT, str(output)))
    url = f"https://{endpoint}.example/v1/chat/completions"
    return UpstreamCall("POST", url, headers, body, 5.0, first_byte_s, 300.0)


def tell(plans: Mapping[str, Plan], story: Story[T], *, streams: bool = False) -> T:
    async def told() -> T:
        clock = VirtualClock(asyncio.get_running_loop())
        return await story(SimulatedProviders(Scenario((), plans, streams), clock, Journal(plans, clock, 600.0)), clock)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(told())


async def statuses(providers: SimulatedProviders, clock: VirtualClock, gaps: list[float]) -> list[tuple[float, int]]:
    """The status of one call after each gap, with its time; nobody waits for an answer before the next call."""
    found: list[tuple[float, int]] = []

    async def ask() -> None:
        at_s = clock.passed_s()
        found.append((at_s, (await providers.send(call())).status))

    asked = []
    for gap in gaps:
        await clock.sleep(gap)
        asked.append(asyncio.ensure_future(ask()))
    await asyncio.gather(*asked)
    return sorted(found)


@given(st.integers(1, 30), st.lists(st.floats(0, 20), max_size=80))
def test_no_minute_lets_in_more_than_a_full_bucket_and_its_refill(rpm: int, gaps: list[float]) -> None:
    found = tell({"east": plan(rpm=rpm)}, lambda providers, clock: statuses(providers, clock, gaps))

    let_in = [at_s for at_s, status in found if status == 200]
    for number, at_s in enumerate(let_in):
        for earlier, from_s in enumerate(let_in[: number + 1]):
            assert number - earlier + 1 <= rpm * (1 + (at_s - from_s) / 60) + 1e-6


@given(st.integers(6, 60), st.lists(st.floats(0, 20), max_size=80))
def test_azure_lets_in_no_more_than_its_part_in_each_window_of_ten_seconds(rpm: int, gaps: list[float]) -> None:
    found = tell({"east": plan(rpm=rpm, style="azure")}, lambda providers, clock: statuses(providers, clock, gaps))

    opened_s = found[0][0] if found else 0.0
    for window in range(200):
        in_it = [s for at_s, s in found if window * 10 <= at_s - opened_s + 1e-9 < (window + 1) * 10]
        assert in_it.count(200) <= rpm // 6


@given(st.lists(st.floats(0, 20), max_size=60))
def test_who_is_refused_would_not_have_fitted(gaps: list[float]) -> None:
    """Nothing is refused while there is room: a bucket of two that refills one in thirty seconds."""
    found = tell({"east": plan(rpm=2)}, lambda providers, clock: statuses(providers, clock, gaps))

    level, last_s = 2.0, 0.0
    for at_s, status in found:
        level, last_s = min(2.0, level + (at_s - last_s) / 30), at_s
        if status == 200:
            level -= 1
        else:
            assert level < 1 + 1e-6


def test_the_proxy_reads_in_the_headers_what_is_left() -> None:
    async def story(providers: SimulatedProviders, _: VirtualClock) -> SimulatedReply:
        return await providers.send(call(output=20))

    for style in ("openai", "azure"):
        reply = tell({"east": plan(rpm=60, tpm=1000, style=style)}, story)
        read = readings(reply.headers)
        assert (read.requests.limit, read.tokens.limit) == (60, 1000)
        # 20 tokens of output and a quarter of 40 bytes.
        assert read.tokens.remaining == 970
        assert read.requests.remaining == (59 if style == "openai" else 9)


def test_a_provider_of_no_headers_says_nothing_of_its_limits() -> None:
    async def story(providers: SimulatedProviders, _: VirtualClock) -> list[SimulatedReply]:
        return [await providers.send(call()) for _ in range(2)]

    good, refused = tell({"east": plan(rpm=1, style="none")}, story)
    assert good.status == 200 and refused.status == 429
    assert readings(good.headers).requests.is_empty and header(refused.headers, "retry-after") is None


def test_a_refusal_comes_at_once_and_says_for_how_long() -> None:
    async def story(providers: SimulatedProviders, clock: VirtualClock) -> tuple[SimulatedReply, float]:
        await providers.send(call())
        began = clock.passed_s()
        return await providers.send(call()), clock.passed_s() - began

    reply, took_s = tell({"east": plan(rpm=1, latency=Latency(5.0, 0.0))}, story)
    assert reply.status == 429 and took_s == pytest.approx(WAY_S)
    assert header(reply.headers, "retry-after") == "55"


def test_endpoints_of_one_bucket_share_its_limit() -> None:
    async def story(providers: SimulatedProviders, _: VirtualClock) -> list[int]:
        return [(await providers.send(call(name))).status for name in ("east", "twin", "west")]

    assert tell({"east": plan("one", 1), "twin": plan("one", 1), "west": plan("two", 1)}, story) == [200, 429, 200]


@given(st.floats(0, 10), st.floats(0, 0.5), st.integers(1, 500))
def test_an_answer_takes_its_first_byte_and_its_tokens(first_s: float, token_s: float, output: int) -> None:
    async def story(providers: SimulatedProviders, clock: VirtualClock) -> float:
        await providers.send(call(output=output))
        return clock.passed_s()

    took_s = tell({"east": plan(latency=Latency(first_s, token_s))}, story)
    assert took_s == pytest.approx(WAY_S + first_s + token_s * output)


def test_an_answer_that_is_too_slow_fails_when_the_caller_said() -> None:
    async def story(providers: SimulatedProviders, clock: VirtualClock) -> tuple[FailureKind, float]:
        with pytest.raises(UpstreamFailed) as failed:
            await providers.send(call(first_byte_s=4.0))
        return failed.value.failure.kind, clock.passed_s()

    kind, at_s = tell({"east": plan(latency=Latency(10.0, 0.0))}, story)
    assert kind is FailureKind.FIRST_BYTE_TIMEOUT and at_s == 4.0


@pytest.mark.parametrize(
    ("kind", "comes"),
    [("connect", FailureKind.CONNECT), ("timeout", FailureKind.FIRST_BYTE_TIMEOUT), ("503", 503), ("429", 429)],
)
def test_trouble_lasts_from_its_beginning_to_its_end(kind: str, comes: object) -> None:
    trouble = Trouble("east", 10.0, 20.0, kind)  # type: ignore[arg-type]

    async def ask(providers: SimulatedProviders) -> object:
        try:
            return (await providers.send(call(first_byte_s=1.0))).status
        except UpstreamFailed as failed:
            return failed.failure.kind

    async def story(providers: SimulatedProviders, clock: VirtualClock) -> list[object]:
        found = []
        for at_s in (0.0, 9.9, 10.0, 18.9, 20.0, 30.0):
            await clock.sleep(at_s - clock.passed_s())
            found.append(await ask(providers))
        return found

    assert tell({"east": plan(troubles=(trouble,))}, story) == [200, 200, comes, comes, 200, 200]


def test_a_storm_says_what_it_was_told_to_and_charges_nothing() -> None:
    trouble = Trouble("east", 0.0, 10.0, "429", 7.0)

    async def story(providers: SimulatedProviders, clock: VirtualClock) -> tuple[SimulatedReply, int]:
        refused = await providers.send(call())
        await clock.sleep(20)
        return refused, (await providers.send(call())).status

    refused, later = tell({"east": plan(rpm=1, troubles=(trouble,))}, story)
    assert refused.status == 429 and header(refused.headers, "retry-after") == "7" and later == 200


def test_a_stream_has_its_headers_with_the_first_byte_and_its_end_after_all_tokens() -> None:
    async def story(providers: SimulatedProviders, clock: VirtualClock) -> tuple[list[float], list[bytes]]:
        reply = await providers.send(call(output=50))
        times, pieces = [clock.passed_s()], list[bytes]()
        while piece := await reply.receive():
            pieces.append(piece)
            times.append(clock.passed_s())
        return times, pieces

    times, pieces = tell({"east": plan(latency=Latency(0.5, 0.1))}, story, streams=True)
    assert times == pytest.approx([0.5 + WAY_S, 0.5 + WAY_S, 5.5 + WAY_S])
    assert (
        b"content" in pieces[0] and pieces[1].endswith(b"data: [DONE]\n\n") and b'"completion_tokens":50' in pieces[1]
    )
