"""Of requests that could be read in two ways none is read in two: what hides in one never becomes another."""

from typing import Any

from tests.smuggling import HIDDEN, LAST, NEXT, PAYLOADS, REFUSED, TAKEN, Payload
from tests.unit.http_line import Line, answer
from tests.unit.http_read import Read


class Seen:
    """An application that takes notes: the requests that reached it, and those that came whole with their bodies."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.whole: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["raw_path"])
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.whole.append((scope["raw_path"], body))
        await answer(send, b"" if scope["method"] == "HEAD" else b"ok")


async def fault(payload: Payload) -> str:
    """What is wrong with what became of it; empty = nothing."""
    line = Line(seen := Seen())
    await line.feed(payload.sent + NEXT)
    await line.lose()
    methods = [payload.sent.strip().partition(b" ")[0].decode("latin-1")]
    statuses = [status for status, _ in line.replies(*methods)]
    if line.host.crashes:
        return f"crashed: {line.host.crashes}"
    if payload.fate is TAKEN:
        good = seen.whole == [(b"/first", HIDDEN), (b"/next", b"")] and statuses == [200, 200]
    elif payload.fate is LAST:
        good = seen.whole == [(b"/first", HIDDEN)] and seen.begun == [b"/first"] and statuses == [200]
    else:
        begun = [] if payload.fate is REFUSED else [b"/first"]
        good = not seen.whole and seen.begun == begun and len(statuses) == 1 and statuses[0] in {400, 431, 505}
    if not good or not {"close", "eof"} & set(line.wire.events):
        return f"{payload.fate.name}: begun {seen.begun}, whole {seen.whole}, {statuses}, {line.wire.events}"
    return ""


async def test_each_becomes_exactly_the_requests_that_it_may() -> None:
    wrong = {name: found for name, payload in PAYLOADS.items() if (found := await fault(payload))}

    assert wrong == {}


def test_however_it_is_cut_it_becomes_the_same() -> None:
    wrong = {}
    for name, payload in PAYLOADS.items():
        sent = payload.sent + NEXT
        whole = Read(sent).told()
        for step in (1, 7):
            told = Read(*(sent[at : at + step] for at in range(0, len(sent), step))).told()
            if told != whole:
                wrong[name, step] = (whole, told)

    assert wrong == {}


def test_the_table_has_all_kinds() -> None:
    assert len(PAYLOADS) > 161
    assert {payload.fate for payload in PAYLOADS.values()} == {*type(REFUSED)}
