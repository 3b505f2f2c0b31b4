"""Conversations over WebSockets while endpoints fail: is any lost, and is every answer made of all that was said?

    python -m bench.conversations [--count 500] [--seed 1]

Three simulated accounts that share nothing answer behind one composed proxy; each call of theirs may be refused (429,
503), reset, or broken off. Clients behave as those that exist do: an SDK's asks again on the same socket, Codex opens
another one after any error and sends the whole conversation. Half of them store nothing.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

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
FAULT_SHARE = 0.06
"""Of each of them, in the calls of each account: about a third of all calls fail."""
MOST_TRIES = 8
AT_A_TIME = 16


class Lost(Exception):
    """A conversation could not go on. The text says why."""


class Conversation:
    """One, and what its client knows of it."""

    def __init__(self, url: str, number: int, rng: random.Random, seen: Counter[str]) -> None:
        self._url = url
        self._name = f"c{number}"
        self._is_codex = number % 2 == 0
        self._stores = number % 4 >= 2
        self._turns = rng.randint(2, 6)
        self._items: list[dict[str, Any]] = []
        self._previous = ""
        self._talk: Talk | None = None
        self._stack = AsyncExitStack()
        self._seen = seen

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
                await self._begin_anew("closed")
                continue
            last = events[-1]
            if last["type"] == "response.completed":
                self._check(events)
                self._previous = last["response"]["id"]
                self._items += [own, *last["response"]["output"]]
                return
            if last["type"] != "error" or not isinstance(last.get("status"), int):
                raise Lost(f"{last['type']} without a status")
            code = last["error"]["code"]
            self._seen[f"{last['status']} {code}"] += 1
            if self._is_codex or code in ("websocket_connection_limit_reached", "previous_response_not_found"):
                await self._begin_anew(code)
        raise Lost(f"{MOST_TRIES} tries")

    async def _socket(self) -> Talk:
        if self._talk is None:
            headers = {"authorization": "Bearer sk-client"}
            opening = websockets.asyncio.client.connect(self._url, additional_headers=headers, max_size=None)
            self._talk = Talk(await self._stack.enter_async_context(opening))
        return self._talk

    async def _begin_anew(self, _: str | None) -> None:
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


async def run(count: int, seed: int) -> int:
    """The exit code: 0 = nothing was lost."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    seen: Counter[str] = Counter()
    lost: list[str] = []
    async with AsyncExitStack() as stack:
        stack.enter_context(folder := tempfile.TemporaryDirectory())
        accounts = [
            await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=name, seed=seed)))
            for name in ("alpha", "beta", "gamma")
        ]
        rules = [{"probability": FAULT_SHARE, "action": action} for action in FAULTS]
        for account in accounts:
            account.set_faults(rules)
        models = [endpoint(account) for account in accounts]
        general = {"cooldown_time": 1, "allowed_fails": 3, "num_retries": 5, "log_level": "error"}
        settings = {"model_groups": [{"model_group": "gpt", "models": models}], "general_settings": general}
        proxy = Composed(Path(folder.name), settings)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        places = asyncio.Semaphore(AT_A_TIME)

        async def one(number: int) -> None:
            async with places:
                try:
                    await Conversation(f"ws://127.0.0.1:{proxy.port}/v1/responses", number, rng, seen).run()
                except (Lost, TimeoutError) as error:
                    lost.append(f"c{number}: {error!r}")

        await asyncio.gather(*(one(number) for number in range(count)))
        turns = {text: said for account in accounts for text, said in told(account).items()}
        calls = sum(len(account.records) for account in accounts)
        open_sockets = proxy.container.behind().open
    incomplete = [text for text, said in turns.items() if not _is_complete(text, said)]
    print(f"{count} conversations, {len(turns)} turns, {calls} calls; errors that clients saw: {dict(seen) or 'none'}")
    print(f"lost: {len(lost)} {lost[:5]}; asked without all that was said before: {len(incomplete)} {incomplete[:3]}")
    return 1 if lost or incomplete or open_sockets else 0


def _is_complete(text: str, said: list[str]) -> bool:
    """Everything from the first turn on, or from the stored response that it names."""
    name, _, number = text.partition(" says ")
    own = [each for each in said if each.startswith(f"{name} says ")]
    expected = [f"{name} says {before}" for before in range(int(number) + 1)]
    return own == expected or (said[0].startswith("resp_") and own == expected[-len(own) :])


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.conversations")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return asyncio.run(run(options.count, options.seed))


if __name__ == "__main__":
    sys.exit(main())
