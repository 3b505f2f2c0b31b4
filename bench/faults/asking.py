"""`Asker`: requests to a proxy, and what became of them as far as their client can tell."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from bench.faults.proxy import ASKS
from bench.wire import Answer, Client, Cut, head_of
from simulator.content.text import digest_of

PROMPT = "canary-prompt"
"""In every prompt: it may be in no log line, page, metric or error."""

GROUP = "group"
OK, TOLD = "ok", "told"
"""`ok`: a whole answer to what was asked. `told`: a stream that broke, and said so with an error event.

Any other outcome: a status (`429`), `undeclared` (a stream or answer that is cut and does not say so), `another's` (an
answer to another request), `no reply`, `timeout`.
"""

_JSON = {"content-type": "application/json", **ASKS}
_SIGNATURE = re.compile(rb"([\w-]{1,40})/([0-9a-f]{12})/\d")
_BEGINNING = 4096
"""Of an answer, in which the provider says its name and what it was asked."""
_ENDS = (b"data: [DONE]\n\n", b"event: response.completed\n", b"event: response.incomplete\n")
_PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "completions": "/v1/completions"}


class Asked(NamedTuple):
    """One request: what came of it, and how long it took (seconds) from `at_s` (monotonic)."""

    outcome: str
    at_s: float
    took_s: float
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def by(self) -> str:
        """The provider that answered, by its name; empty = nobody did, or it does not say."""
        found = _SIGNATURE.search(self.body[:_BEGINNING])
        return found.group(1).decode() if found else ""

    @property
    def error(self) -> dict[str, Any]:
        """The error that it holds, whole or as an event; empty = there is none."""
        for text in (self.body, *self.body.split(b"data: ")):
            try:
                told = json.loads(text)
            except ValueError:
                continue
            if isinstance(told, dict) and isinstance(told.get("error"), dict):
                return dict(told["error"])
            if isinstance(told, dict) and told.get("type") == "error":
                return told
        return {}


class Tally:
    """What became of many."""

    def __init__(self, asked: Iterable[Asked] = ()) -> None:
        self.asked = list(asked)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(one.outcome for one in self.asked)

    def failed(self, *good: str) -> int:
        """How many ended otherwise; without `good`, than well."""
        return sum(one.outcome not in (good or (OK,)) for one in self.asked)

    def slowest_s(self) -> float:
        return max((one.took_s for one in self.asked), default=0.0)

    def percentile_ms(self, percent: float) -> float:
        took = sorted(one.took_s for one in self.asked)
        return took[min(len(took) - 1, int(len(took) * percent / 100))] * 1000 if took else 0.0

    def by(self) -> Counter[str]:
        """Answers by the provider that gave them."""
        return Counter(one.by for one in self.asked)

    def errors(self) -> str:
        """For people: what went wrong, with one example."""
        bad = [one for one in self.asked if one.outcome not in (OK, TOLD)]
        return f"{dict(self.outcomes)} {bad[0].body[:300]!r}" if bad else ""


class Asker:
    """A client of one proxy that keeps its connections, and remembers every error that it was shown."""

    def __init__(self, port: int, group: str = GROUP, headers: Mapping[str, str] | None = None, tries: int = 1) -> None:
        """`tries`: so often it asks where a connection breaks before a reply; the OpenAI SDKs ask three times."""
        self.client = Client(port)
        self.tries = tries
        self.tried_again = 0
        self.group = group
        self.headers = {**_JSON, **(headers or {})}
        self.shown: list[bytes] = []
        """Errors, whole and inside streams."""

    def body(self, number: int = 0, api: str = "chat", **fields: Any) -> bytes:
        """The body of request `number`; a field that is None is left out."""
        prompt = f"{PROMPT} {number}"
        said: dict[str, Any] = {
            "chat": {"messages": [{"role": "user", "content": prompt}]},
            "responses": {"input": prompt},
            "completions": {"prompt": prompt},
        }[api]
        asked = {"model": self.group, **said, **fields}
        return json.dumps({name: value for name, value in asked.items() if value is not None}).encode()

    def head(self, body_bytes: int, path: str = _PATHS["chat"]) -> bytes:
        """The head of a request, for connections of one's own (`client.open()`)."""
        return head_of("POST", path, self.headers, body_bytes)

    async def ask(self, number: int = 0, api: str = "chat", headers: Mapping[str, str] = {}, **fields: Any) -> Asked:
        """One request."""
        return await self.send(
            _PATHS[api], self.body(number, api, **fields), headers, stream=bool(fields.get("stream"))
        )

    async def send(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] = {},
        method: str = "POST",
        *,
        stream: bool = False,
    ) -> Asked:
        """Any request."""
        began, answer = time.monotonic(), None
        for number in range(self.tries):
            self.tried_again += number > 0
            try:
                answer = await self.client.ask(method, path, {**self.headers, **headers}, body)
            except TimeoutError:
                return Asked("timeout", began, time.monotonic() - began)
            except (OSError, Cut):
                continue
            break
        if answer is None:
            return Asked("no reply", began, time.monotonic() - began)
        outcome = outcome_of(body or b"", answer, stream=stream)
        if outcome != OK:
            self.shown.append(answer.body)
        return Asked(outcome, began, time.monotonic() - began, answer.status, answer.headers, answer.body)

    async def many(self, count: int, at_once: int = 16, **fields: Any) -> Tally:
        """So many, so many at a time; every other one streamed, if `stream` is not among the fields."""
        numbers = iter(range(count))
        asked: list[Asked] = []

        async def some() -> None:
            asked.extend([await self.ask(number, **_streamed_in_turn(number, fields)) for number in numbers])

        await asyncio.gather(*(some() for _ in range(at_once)))
        return Tally(asked)

    async def offer(
        self, rate: float, until: Callable[[], bool], differs: Callable[[int], Mapping[str, Any]] = lambda _: {}
    ) -> Tally:
        """So many a second, each when it is due whatever became of those before, until that is so."""
        began, asked, running = time.monotonic(), [], set()
        number = 0
        while not until():
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            fields = {"number": number, **_streamed_in_turn(number, dict(differs(number)))}
            task = asyncio.create_task(self.ask(**fields))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda done: asked.append(done.result()))
            number += 1
        await asyncio.gather(*running)
        return Tally(asked)

    def close(self) -> None:
        """Let go of its connections."""
        self.client.close()


def _streamed_in_turn(number: int, fields: dict[str, Any]) -> dict[str, Any]:
    return fields if "stream" in fields else {**fields, "stream": bool(number % 2)}


def outcome_of(question: bytes, answer: Answer, *, stream: bool) -> str:
    """What a client makes of an answer: see `OK`."""
    if answer.status != 200:
        return str(answer.status) if answer.ended else "undeclared"
    is_events = answer.headers.get("content-type", "").startswith("text/event-stream")
    if stream and is_events:
        if not any(end in answer.body for end in _ENDS):
            return TOLD if answer.ended and b'"error"' in answer.body else "undeclared"
    elif not answer.ended or not _is_json(answer.body):
        return "undeclared"
    found = _SIGNATURE.search(answer.body[:_BEGINNING])
    if found and found.group(2).decode() != digest_of(question):
        return "another's"
    return OK


def _is_json(received: bytes) -> bool:
    try:
        msgspec.json.decode(received)
    except msgspec.DecodeError:
        return False
    return True
