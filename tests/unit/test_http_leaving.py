"""Clients that leave, and applications that fail: nothing stays behind, and no half of a reply is taken for whole."""

from typing import Any

import pytest

from tests.unit.http_line import GET, HELD, App, Holding, Line, answer, echo


@pytest.mark.parametrize("sent", [GET, HELD, HELD + bytes(1000), GET + GET], ids=["all", "head", "some", "two"])
async def test_an_application_is_told_that_the_client_left_and_its_reply_goes_nowhere(sent: bytes) -> None:
    line = Line(app := Holding())
    await line.feed(sent)

    await line.lose()
    assert len(app.gone) == 1
    app.answer()
    await line.settle()

    assert not line.wire.sent
    assert not line.host.open
    assert not line.host.running
    assert len(app.asked) == 1


async def test_who_waits_for_the_body_is_told_that_the_client_left() -> None:
    line = Line(echo)
    await line.feed(HELD)

    await line.lose()

    assert not line.host.running
    assert not line.host.crashes


async def test_who_waits_for_the_client_to_read_is_woken_when_it_leaves() -> None:
    done: list[bool] = []

    async def writes(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"body")
        done.append(True)

    line = Line(writes)
    line.connection.pause_writing()
    await line.feed(GET)
    assert not done

    await line.lose()

    assert done


async def crashing(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("secret")


async def crashing_late(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    raise ValueError("secret")


async def forgetful(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})


async def silent(scope: Any, receive: Any, send: Any) -> None: ...


async def short(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"a"})


async def long(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": b"abc"})


@pytest.mark.parametrize(("app", "crashes"), [(crashing, 1), (silent, 0)])
async def test_a_request_that_nobody_answers_is_answered_with_500(app: App, crashes: int) -> None:
    line = Line(app)

    await line.feed(GET)

    ((status, body),) = line.replies()
    assert status == 500
    assert b"secret" not in body
    assert len(line.host.crashes) == crashes
    assert line.wire.events == ["close"]
    assert not line.host.running


@pytest.mark.parametrize("app", [crashing_late, forgetful, short, long])
async def test_half_a_reply_is_cut_so_that_nobody_takes_it_for_whole(app: App) -> None:
    line = Line(app)

    await line.feed(GET + GET)

    assert line.wire.events == ["abort"]
    assert line.wire.sent.count(b"HTTP/1.1 200") == 1
    assert not line.wire.sent.endswith((b"0\r\n\r\n", b"abc"))
    await line.lose()
    assert not line.host.open
    assert not line.host.running
