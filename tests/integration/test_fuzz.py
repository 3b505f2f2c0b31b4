"""Mutated requests, some of those of `make fuzz`: no 5xx from a well provider, nothing at it that was not sent."""

from pathlib import Path

import pytest

from bench.fuzz.attack import attack
from bench.fuzz.judge import Judge
from bench.fuzz.provider import WatchedProvider
from bench.fuzz.world import KEYS, settings
from tests.integration.composed import composed

CASES = 1200
FOUND_BEFORE = (545, 146, 231, 663)
"""A Host that is no name broke a page, and small bodies in chunks went to one account alone."""


@pytest.mark.parametrize(("numbers", "seed"), [(FOUND_BEFORE, 1), (range(CASES), 2)], ids=["found before", "others"])
async def test_no_request_breaks_the_proxy_or_becomes_another(numbers: range, seed: int, tmp_path: Path) -> None:
    judge = Judge()
    provider = WatchedProvider(judge.received, lambda text: judge.found("odd call", -1, text))
    async with provider, composed(tmp_path, settings(provider.url)) as proxy:
        judge.own[b"host"] = [f"127.0.0.1:{provider.port}".encode()]
        judge.own[b"authorization"] = [f"Bearer {key}".encode() for key in KEYS]
        await attack(proxy.port, judge, seed, iter(numbers), lambda _: None)

    assert judge.findings == []
    assert judge.statuses["200"] >= len(numbers) // 3
    assert judge.calls >= len(numbers) // 3
