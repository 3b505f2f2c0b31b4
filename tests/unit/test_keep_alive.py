"""Comments of the proxy's own: only between events, only where they are wanted."""

import asyncio
from pathlib import Path

import pytest

from application.caching.keep_alive import COMMENT, KeepAlive, KeptAliveStream
from application.caching.shared_stream import TooSlow
from entrypoints.container import Container
from tests.flows import next_piece
from tests.unit.live_stream import LiveStream
from tests.unit.two_groups import TWO, settings_of


@pytest.mark.parametrize(
    ("passed", "is_between"),
    [
        (b"data: 1\n\n", True),
        (b"data: 1\r\n\r\n", True),
        (b"data: 1\r\r", True),
        (b"data: 1\n\n: ping\n", True),
        (b": ping\r\n", True),
        (b"data: 1", False),
        (b"data: 1\n", False),
        (b"data: 1\n: ping", False),
    ],
)
async def test_nothing_is_put_into_an_event(passed: bytes, is_between: bool) -> None:
    live = LiveStream()
    stream = KeptAliveStream(live, interval_s=0.001)
    live.feed(passed)
    assert await next_piece(stream) == passed
    coming = asyncio.ensure_future(next_piece(stream))
    await asyncio.sleep(0.05)
    live.feed(b"rest")

    assert await coming == (COMMENT if is_between else b"rest")
    stream.close()
    assert live.closed


async def test_a_piece_that_comes_while_the_client_has_not_taken_a_comment_is_not_lost() -> None:
    live = LiveStream()
    stream = KeptAliveStream(live, interval_s=0.001)
    assert await next_piece(stream) == COMMENT
    live.feed(b"data: 1\n\n", b"data: 2\n\n", b"")
    await asyncio.sleep(0.01)

    assert live.taken == 1
    assert [await next_piece(stream) for _ in range(3)] == [b"data: 1\n\n", b"data: 2\n\n", b""]
    stream.close()


async def test_nothing_follows_the_end_and_an_error_is_heard() -> None:
    live = LiveStream()
    stream = KeptAliveStream(live, interval_s=60)
    live.feed(b"data: 1\n\n", TooSlow(), b"")

    assert await next_piece(stream) == b"data: 1\n\n"
    with pytest.raises(TooSlow):
        await next_piece(stream)
    assert await next_piece(stream) == b""
    assert (stream.status, stream.headers, stream.failure) == (live.status, live.headers, None)
    assert stream.error_frame("m", "c") == live.error_frame("m", "c")
    stream.close()


@pytest.mark.parametrize(
    ("general", "is_on"), [("", False), ("stream_keepalive: 0", False), ("stream_keepalive: 15", True)]
)
@pytest.mark.parametrize("cache", ["false", "true"])
def test_it_stands_before_the_answers_only_where_it_is_on(
    tmp_path: Path, general: str, is_on: bool, cache: str
) -> None:
    text = f"{TWO}\ngeneral_settings:\n  cache: {cache}\n  {general}\n"
    container = Container(settings=settings_of(tmp_path, text))

    assert isinstance(container.answers(), KeepAlive) is is_on
