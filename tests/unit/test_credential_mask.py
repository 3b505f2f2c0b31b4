"""An endpoint's own credential is taken out of what its provider says, wherever it stands."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.http.headers import relayed
from adapters.upstreams.openai.credential_mask import MASK, SHORTEST, CredentialMask
from application.answers import WholeAnswer
from application.messages import RequestTrace, WholeReply
from tests.examples import examples
from tests.fakes import FakeReply
from tests.unit.dispatch_bench import CONTENT, Bench, pieces

KEY = "sk-own/key+12345678"


class Owning(Bench):
    """Its endpoints have a key that is worth hiding."""

    def __init__(self, *scripts: Any) -> None:
        super().__init__(*scripts, key=KEY)

    async def answer(self, *, stream: bool = False) -> str:
        """Status line, headers and body, and what would be logged, in one text."""
        self.trace = RequestTrace()
        answer = await self.dispatch(self.group, self.request(stream=stream), self.trace)
        logged = str(self.trace.attempts)
        if isinstance(answer, WholeAnswer):
            return f"{relayed(answer.reply.headers)} {answer.reply.body.decode()} {logged}"
        text = b"".join([piece async for piece in pieces(answer)]).decode()
        answer.close()
        return f"{text} {answer.failure} {logged}"


def error(**words: object) -> bytes:
    return json.dumps({"error": words}).encode()


QUOTES = {
    "message": error(message=f"Incorrect API key provided: {KEY}."),
    "code": error(code=KEY, message="m"),
    "type": error(type=KEY, message="m"),
    "escaped slash": error(message=KEY).replace(b"/", b"\\/"),
    "in a URL": error(message=f"https://x/?key={KEY.replace('/', '%2F').replace('+', '%2B')}"),
    "page": f"<html>authorization: Bearer {KEY}</html>".encode(),
    "flat": json.dumps({"message": f"bad {KEY}"}).encode(),
}


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 429, 500])
@pytest.mark.parametrize("body", QUOTES.values(), ids=QUOTES)
async def test_no_error_reply_shows_it(status: int, body: bytes) -> None:
    bench = Owning([lambda: FakeReply(status, [body], (("x-debug", f"Bearer {KEY}"), ("api-key", KEY)))])
    try:
        said = await bench.answer()
    except Exception as ours:
        said = f"{ours} {bench.trace.attempts} {bench.alarm.told}"

    for part in (KEY, KEY.replace("/", "\\/"), KEY.replace("/", "%2F").replace("+", "%2B"), "key+1234"):
        assert part not in said


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_zipped_error_is_looked_through_as_well(pack: Callable[[bytes], bytes]) -> None:
    coded = (("content-encoding", "gzip"),)
    bench = Owning([lambda: FakeReply(400, [pack(error(message=f"You sent {KEY}."))], coded)])
    said = await bench.answer()

    assert f"You sent {MASK}." in said
    assert "content-encoding" not in said


@pytest.mark.parametrize("code", ["invalid_prompt", KEY])
@pytest.mark.parametrize("before", [b"", CONTENT])
async def test_no_error_in_a_stream_shows_it(code: str, before: bytes) -> None:
    event = b"data: " + error(code=code, message=f"you sent {KEY}") + b"\n\n"
    bench = Owning([lambda: FakeReply(200, [before, event] if before else [event])])
    said = await bench.answer(stream=True)

    assert KEY not in said
    assert f"you sent {MASK}" in said


async def test_what_a_model_says_passes_as_it_is() -> None:
    answer = json.dumps({"choices": [{"message": {"content": KEY}}]}).encode()
    bench = Owning([lambda: FakeReply(200, [answer])])

    assert KEY in await bench.answer()


async def test_a_good_answer_does_not_echo_key_headers_or_tell_a_web_server_what_to_send() -> None:
    told = tuple(
        (name, "x") for name in ("x-accel-redirect", "x-accel-expires", "x-sendfile", "authorization", "api-key")
    )

    assert relayed((*told, ("x-request-id", "r"))) == ["x-request-id: r"]


def test_short_credentials_are_not_looked_for() -> None:
    assert CredentialMask(["k"]).text("k is for key") == "k is for key"


def _written(text: str, marks: str, form: str) -> str:
    return "".join(f"\\u{ord(mark):{form}}" if mark in marks else json.dumps(mark)[1:-1] for mark in text)


WRITERS: dict[str, Callable[[str], str]] = {
    "Python": lambda text: json.dumps(text)[1:-1],
    "PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "Go": lambda text: _written(text, "&<>", "04x"),
    ".NET": lambda text: _written(text, "\"&'+<>`", "04X"),
    "a URL": lambda text: quote(text, safe=""),
    "a path": quote,
}


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=SHORTEST), st.sampled_from(list(WRITERS))
)
@settings(max_examples=examples(150))
def test_whoever_writes_it_it_is_gone(key: str, writer: str) -> None:
    write = WRITERS[writer]
    body = b'{"error":{"message":"key %b is wrong"}}' % write(key).encode()

    masked = CredentialMask([f"Bearer {key}"]).data(body)

    assert masked == b'{"error":{"message":"key %b is wrong"}}' % MASK.encode()


@given(st.text(min_size=SHORTEST).filter(lambda text: " " not in text), st.text(), st.text())
def test_whatever_stands_around_it_it_is_gone(key: str, before: str, after: str) -> None:
    mask = CredentialMask([f"Bearer {key}"])
    reply = mask.reply(WholeReply(400, (), f"{before}{key}{after}".encode("utf-8", "replace")))

    assert key.encode("utf-8", "replace") not in reply.body.replace(MASK.encode(), b"")
