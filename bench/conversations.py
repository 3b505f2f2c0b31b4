"""Conversations over WebSockets while endpoints fail: is any lost, and is every answer made of all that was said?

    python -m bench.conversations [--count 500] [--seed 1] [--mode bridge|native] [--client websockets|async|sync]

Three simulated accounts that share nothing answer behind one composed proxy; each call of theirs may be refused (429,
503), reset, or broken off. Clients behave as those that exist do: an SDK's asks again on the same socket, Codex opens
another one after any error and sends the whole conversation. Half of them store nothing.

In native mode a socket lives at one account, and what was not stored ends with it. So the promise is that a turn that
cannot go on there ends in an error or a close, never in silence, and that a new socket with the whole conversation
goes on elsewhere. A turn is complete there by what the provider's socket was told, in this message and in those that
led to the response it builds on.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from bench.conversation_clients import CLIENTS
from simulator import ProviderSettings, SimulatedProvider
from tests.integration.composed import Composed
from tests.integration.harness import endpoint
from tests.integration.socket_world import Talk, text_of

FAULTS = (
    {"kind": "status", "status": 429, "headers": {"retry-after-ms": "50"}},
    {"kind": "status", "status": 503},
    {"kind": "reset", "when": "before_headers"},
    {"kind": "close", "when": "before_headers"},
    {"kind": "reset", "when": "mid_stream", "after_events": 9},
    {"kind": "stream_error", "after_events": 1},
)
ERROR = '{"type": "error", "status": %d, "error": {"code": "%s", "message": "Said by the account."}}'
SOCKET_FAULTS: tuple[dict[str, Any], ...] = (
    *FAULTS[:3],
    {"kind": "socket", "turn": 1, "then": "end_turn", "frame": ERROR % (429, "rate_limit_exceeded")},
    {"kind": "socket", "turn": 1, "after_events": 9, "then": "drop"},
    {"kind": "socket", "turn": 2, "then": "end_turn", "frame": ERROR % (429, "rate_limit_exceeded")},
    {"kind": "socket", "turn": 2, "then": "end_turn", "frame": ERROR % (503, "server_is_overloaded")},
    {"kind": "socket", "turn": 2, "then": "close", "code": 1001},
    {"kind": "socket", "turn": 2, "after_events": 9, "then": "drop"},
    {"kind": "socket", "turn": 3, "after_events": 1, "then": "close", "code": 1011},
)
"""Of the handshake, of the first turn, and of later ones."""
FAULT_SHARE = 0.06
"""Of each of them, in the calls of each account: about a third of all calls fail."""
MOST_TRIES = 8
AT_A_TIME = 16
CLOSED_WITHIN_S = 10
"""After the last client has gone: an endpoint's socket is closed after the client's."""

Opening = Callable[[], AbstractAsyncContextManager[Any]]


class Lost(Exception):
    """A conversation could not go on. The text says why."""


class Conversation:
    """One, and what its client knows of it."""

    def __init__(
        self,
        opening: Opening,
        number: int,
        rng: random.Random,
        seen: Counter[str],
        answered: dict[str, str],
    ) -> None:
        """`opening` gives another socket. `seen` counts the errors; `answered` keeps to what each response answered."""
        self._name = f"c{number}"
        self._is_codex = number % 2 == 0
        self._stores = number % 4 >= 2
        self._turns = rng.randint(2, 6)
        self._items: list[dict[str, Any]] = []
        self._previous = ""
        self._talk: Talk | None = None
        self._stack = AsyncExitStack()
        self._seen = seen
        self._opening = opening
        self._answered = answered

    async def run(self) -> None:
        async with self._stack:
            for number in range(self._turns):
                await self._turn(f"{self._name} says {number}")

    async def _turn(self, text: str) -> None:
        own = {"type": "message", "role": "user", "content": text}
        for _ in range(MOST_TRIES):
            talk = await self._socket()
            fields: dict[str, Any] = {"store": self._stores}
            if self._previous:
                fields |= {"previous_response_id": self._previous, "input": [own]}
            else:
                fields["input"] = [*self._items, own]
            try:
                await talk.say(**fields)
                events = await talk.until_end()
            except ConnectionClosed:
                self._seen["closed"] += 1
                await self._begin_anew()
                continue
            last = events[-1]
            if last["type"] == "response.completed":
                self._check(events)
                self._previous = last["response"]["id"]
                self._answered[self._previous] = text
                self._items += [own, *last["response"]["output"]]
                return
            if last["type"] != "error" or not isinstance(last.get("status"), int):
                raise Lost(f"{last['type']} without a status")
            code = last["error"]["code"]
            self._seen[f"{last['status']} {code}"] += 1
            if self._is_codex or code in ("websocket_connection_limit_reached", "previous_response_not_found"):
                await self._begin_anew()
        raise Lost(f"{MOST_TRIES} tries")

    async def _socket(self) -> Talk:
        if self._talk is None:
            self._talk = Talk(await self._stack.enter_async_context(self._opening()))
        return self._talk

    async def _begin_anew(self) -> None:
        """With another socket and the whole conversation, without what only one account can read."""
        await self._stack.aclose()
        self._talk, self._previous = None, ""
        self._items = [item for item in self._items if item["type"] != "reasoning"]

    def _check(self, events: Any) -> None:
        deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        if deltas != text_of(events[-1]["response"]):
            raise Lost("the events of two answers in one")
        if [event["type"] for event in events].count("response.created") != 1:
            raise Lost("an answer that began twice")


def told(provider: SimulatedProvider) -> dict[str, list[str]]:
    """What it has been told in each request it answered well, by its last text."""
    found = {}
    for record in provider.records:
        body = json.loads(record.body)
        if isinstance(body.get("input"), list) and record.status == 200:
            texts = [item["content"] for item in body["input"] if isinstance(item.get("content"), str)]
            found[texts[-1]] = [*([body["previous_response_id"]] if "previous_response_id" in body else []), *texts]
    return found


def messages(provider: SimulatedProvider) -> Iterator[tuple[str, list[str]]]:
    """The last text of each turn that began on one of its sockets, and what it was told in it: as `told`."""
    for record in provider.records:
        for said in map(json.loads, record.messages):
            texts = [item["content"] for item in said["input"] if isinstance(item.get("content"), str)]
            yield texts[-1], [*([said["previous_response_id"]] if "previous_response_id" in said else []), *texts]


async def run(count: int, seed: int, mode: str = "bridge", client: str = "websockets") -> int:
    """The exit code: 0 = nothing was lost."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    seen: Counter[str] = Counter()
    lost: list[str] = []
    answered: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        stack.enter_context(folder := tempfile.TemporaryDirectory())
        accounts = [
            await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name, seed=seed)))
            for name in ("alpha", "beta", "gamma")
        ]
        rules = [
            {"probability": FAULT_SHARE, "action": action} for action in (SOCKET_FAULTS if mode == "native" else FAULTS)
        ]
        for account in accounts:
            account.set_faults(rules)
        models = [endpoint(account) for account in accounts]
        general = {"cooldown_time": 1, "allowed_fails": 3, "num_retries": 5, "log_level": "error"}
        settings = {
            "model_groups": [{"model_group": "gpt", "models": models, "websockets": mode}],
            "general_settings": general,
        }
        proxy = Composed(Path(folder.name), settings)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        opening = partial(CLIENTS[client], f"http://127.0.0.1:{proxy.port}/v1")
        places = asyncio.Semaphore(AT_A_TIME)

        async def one(number: int) -> None:
            async with places:
                try:
                    await Conversation(opening, number, rng, seen, answered).run()
                except (Lost, TimeoutError) as error:
                    lost.append(f"c{number}: {error!r}")

        await asyncio.gather(*(one(number) for number in range(count)))
        if mode == "native":
            turns = [turn for account in accounts for turn in messages(account)]
        else:
            turns = [turn for account in accounts for turn in told(account).items()]
        calls = sum(len(account.records) for account in accounts)
        for _ in range(int(CLOSED_WITHIN_S / 0.05)):
            states = proxy.container.endpoint_states().values()
            held = proxy.container.behind().open, sum(state.in_flight for state in states)
            if not any(held):
                break
            await asyncio.sleep(0.05)
    incomplete = [text for text, said in turns if not _is_complete(text, said, answered)]
    print(f"{mode}, {client}: {count} conversations, {len(answered)} turns answered, {calls} calls or sockets")
    print(f"errors that clients saw: {dict(seen) or 'none'}; sockets and turns still held: {held}")
    print(f"lost: {len(lost)} {lost[:5]}; asked without all that was said before: {len(incomplete)} {incomplete[:3]}")
    return 1 if lost or incomplete or any(held) else 0


def _is_complete(text: str, said: list[str], answered: dict[str, str]) -> bool:
    """Everything from the first turn on, or from the one on that was answered with the response that it names."""
    name, _, number = text.partition(" says ")
    own = [each for each in said if each.startswith(f"{name} says ")]
    expected = [f"{name} says {before}" for before in range(int(number) + 1)]
    if not said[0].startswith("resp_"):
        return own == expected
    return bool(own) and expected[: -len(own)][-1:] == [answered[said[0]]] and own == expected[-len(own) :]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.conversations")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=("bridge", "native"), default="bridge")
    parser.add_argument("--client", choices=tuple(CLIENTS), default="websockets")
    options = parser.parse_args()
    return asyncio.run(run(options.count, options.seed, options.mode, options.client))


if __name__ == "__main__":
    sys.exit(main())
