"""A client's body while it is still coming: read once, looked at before, and given up on when it stops."""

import asyncio
from typing import Any

import pytest

from adapters.http.bodies import upload as upload_module
from adapters.http.bodies.upload import ClientUpload
from adapters.http.server.error_body import status_of
from application.errors import InvalidRequest
from application.messages import ClientLeft

LEFT = {"type": "http.disconnect"}


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Wire:
    """An ASGI `receive`: these messages, then silence."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)

    async def __call__(self) -> Any:
        await asyncio.sleep(0)
        if not self.messages:
            await asyncio.get_running_loop().create_future()
        return self.messages.pop(0)


def sized(*pieces: bytes) -> tuple[ClientUpload, Wire]:
    """A body of known length, in these pieces, ended as ASGI servers may: with an empty one."""
    wire = Wire(*map(part, pieces), part(b"", more=False))
    return ClientUpload(wire, sum(map(len, pieces))), wire  # type: ignore[arg-type]


def chunked(*messages: dict[str, Any]) -> tuple[ClientUpload, Wire]:
    wire = Wire(*messages)
    return ClientUpload(wire, None), wire  # type: ignore[arg-type]


async def read_all(body: ClientUpload, model: str = "") -> list[bytes]:
    run = body.upload(model)
    pieces = []
    while piece := await run.read():
        pieces.append(piece)
    return pieces


async def test_pieces_come_as_they_were_sent() -> None:
    body, _ = sized(b"ab", b"", b"c")
    other, _ = chunked(part(b"ab"), part(b"c"), part(b"", more=False))

    assert (body.upload("").length, await read_all(body), body.taken_bytes) == (3, [b"ab", b"c"], 3)
    assert (other.upload("").length, await read_all(other), other.taken_bytes) == (None, [b"ab", b"c"], 3)


async def test_no_length_and_no_chunks_is_no_body() -> None:
    body = ClientUpload(Wire(), 0)  # type: ignore[arg-type]

    assert (body.is_over, body.length, await read_all(body)) == (True, 0, [])


async def test_no_piece_is_read_before_it_is_wanted() -> None:
    body, wire = sized(b"a", b"b", b"c")
    run = body.upload("")
    await run.read()

    assert (len(wire.messages), body.taken_bytes) == (3, 1)


async def test_what_was_looked_at_comes_first_and_can_be_sent_again() -> None:
    body, _ = sized(b"ab", b"cd", b"ef")
    seen = await body.peek(3)
    first = body.upload("")
    await first.read()

    assert seen == b"abcd"
    assert (first.begun, body.begun) == (True, False)
    assert await read_all(body) == [b"abcd", b"ef"]
    assert body.begun


async def test_looking_stops_when_it_is_enough() -> None:
    body, _ = sized(b"ab", b"cd", b"ef")

    assert await body.peek(100, lambda head: b"d" in head) == b"abcd"
    assert await body.peek(100) == b"abcdef"


async def test_a_body_that_was_looked_at_whole_can_always_be_sent_again() -> None:
    body, _ = sized(b"ab", b"cd")
    await body.peek(100)

    assert [await read_all(body) for _ in range(3)] == [[b"abcd"]] * 3
    assert not body.begun


async def test_another_name_for_the_model_changes_the_length() -> None:
    body, _ = sized(b"model=a;", b"rest")
    await body.peek(5)
    body.rename_with(lambda head, model: head.replace(b"=a", b"=" + model.encode()))
    run = body.upload("longer")

    assert run.length == 17
    assert await read_all(body, "longer") == [b"model=longer;", b"rest"]
    assert body.upload("").length == 12


@pytest.mark.parametrize(
    "messages", [[part(b"ab"), LEFT], [LEFT], [part(b"ab"), part(b"", more=False)], [part(b"ab", more=False)]]
)
async def test_a_client_that_leaves_or_sends_less_than_it_said(messages: list[Any]) -> None:
    body = ClientUpload(Wire(*messages), 3)  # type: ignore[arg-type]

    with pytest.raises(ClientLeft):
        await read_all(body)


async def test_a_client_that_is_too_slow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "BODY_PATIENCE_S", 0.01)
    body, _ = chunked(part(b"ab"))

    with pytest.raises(InvalidRequest) as refused:
        await read_all(body)

    assert status_of(refused.value) == 408
