"""Streams as they come off the wire, cut anywhere, and a line that takes them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from msgspec import structs

from adapters.stores.memory.cache import MemoryResponseCache
from adapters.upstreams.reshape.answer_formats import OpenAIAnswerFormats
from application.answers import Answer, WholeAnswer
from application.caching.cached import CachedAnswers
from application.caching.single_flight import SingleFlight
from application.held_bytes import HeldBytes
from application.messages import Api, ProxyRequest, RequestTrace
from domain.caching.cache_key import CachePolicy
from domain.failure import Failure
from tests.fakes import FakeReply
from tests.flows import next_piece
from tests.unit.dispatch_bench import Bench, settled

DONE = b"data: [DONE]\n\n"
USAGE_ASKED = {"stream_options": {"include_usage": True}}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(*choices: object, **fields: object) -> bytes:
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [*choices], **fields}
    )


def chat(content: str | None = None, end: Any = None, index: Any = 0, **delta: object) -> bytes:
    said = {} if content is None else {"content": content}
    return chunk({"index": index, "delta": {**said, **delta}, "finish_reason": end})


def text(said: str, end: Any = None, index: Any = 0) -> bytes:
    return chunk({"index": index, "text": said, "finish_reason": end})


def response(kind: str, **fields: object) -> bytes:
    return b"event: response.%b\n" % kind.encode() + event({"type": f"response.{kind}", **fields})


HELLO, STOP, USAGE = chat("Hello"), chat(end="stop"), chunk(usage={"prompt_tokens": 1, "completion_tokens": 1})
COMPLETED = response("completed", response={"status": "completed", "output": [], "usage": {"input_tokens": 3}})
DELTA = response("output_text.delta", delta="Hi")


class Line(Bench):
    """Requests of any API to one endpoint or more, past the cache or through it."""

    def __init__(self, *scripts: Any, api: Api = Api.CHAT, choices: int = 1, **body: Any) -> None:
        super().__init__(*([script] for script in scripts))
        self.api = api
        self.fields = {"model": "m", "stream": True, "temperature": 0, "input": "Hi", **body}
        self.choices = choices
        self.heard = asyncio.Event()
        """Set when a client has got something."""
        cache = MemoryResponseCache(1 << 20, self.clock)
        formats, single_flight = OpenAIAnswerFormats(), SingleFlight(self.clock, HeldBytes())
        self.cached = CachedAnswers(
            CachePolicy(), cache, formats, single_flight, self.dispatch, self.clock, lambda: 0.5
        )

    def request(self, *, stream: bool = True, patience_s: float | None = None) -> ProxyRequest:
        path = {Api.CHAT: "/chat/completions", Api.COMPLETIONS: "/completions"}.get(self.api, "/responses")
        body = json.dumps({**self.fields, "n": self.choices} if self.choices > 1 else self.fields).encode()
        request = super().request(stream=self.fields["stream"], patience_s=patience_s)
        said = {"temperature": self.fields["temperature"], "store": self.fields.get("store")}
        return structs.replace(
            request, api=self.api, path=path, body=body, choices=self.choices, tenant="client", **said
        )

    async def answers(self, clients: int) -> list[bytes]:
        """What so many clients get who ask at a time, through the cache."""
        got = [asyncio.ensure_future(self.answer(self.cached)) for _ in range(clients)]
        return [await one for one in got]

    async def answer(self, answers: Any) -> bytes:
        answer: Answer = await answers(self.group, self.request(), RequestTrace())
        if isinstance(answer, WholeAnswer):
            return answer.reply.body
        parts = []
        while piece := await next_piece(answer):
            parts.append(piece)
            self.heard.set()
        answer.close()
        await settled()
        return b"".join(parts)


Piece = bytes | Failure | Callable[[], None]


def stream(*pieces: Piece) -> Callable[[], FakeReply]:
    return lambda: FakeReply(200, pieces, (("content-type", "text/event-stream"),))


PROMPTS = {"api": Api.COMPLETIONS, "prompt": ["a", "b"]}


def said(**message: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}
