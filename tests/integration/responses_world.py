"""For the tests of what providers keep: three that share nothing behind one proxy, and the official SDK's four clients,
all used in one way."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai

from simulator import ProviderSettings, SimulatedProvider
from simulator.records import Record
from tests.integration.composed import Composed
from tests.integration.harness import Proxy, config, endpoint

CLIENT_KEY = "sk-client"
UPSTREAM_KEY = "sk-upstream"
NAMES = ("alpha", "beta", "gamma")


class World(NamedTuple):
    """The proxy and the providers behind every one of its groups, in the order of their endpoints."""

    proxy: Proxy
    providers: Sequence[SimulatedProvider]

    def client(self, key: str = CLIENT_KEY) -> openai.AsyncOpenAI:
        """Retries are off: what succeeds does so at once."""
        return openai.AsyncOpenAI(api_key=key, base_url=f"{self.proxy.url}/v1", max_retries=0)

    def voice(self, kind: type, group: str) -> "Voice":
        """A client of that kind, for that group."""
        options: dict[str, Any] = {"api_key": CLIENT_KEY, "max_retries": 0}
        if issubclass(kind, openai.AzureOpenAI | openai.AsyncAzureOpenAI):
            options |= {"azure_endpoint": self.proxy.url, "api_version": "2025-04-01-preview"}
        else:
            options["base_url"] = f"{self.proxy.url}/v1"
        return Voice(kind(**options), group)

    def reset(self) -> None:
        """Providers forget the last test, but not what they keep."""
        for name, provider in zip(NAMES, self.providers, strict=True):
            provider.apply(ProviderSettings(name=name))
            provider.set_faults([])
            provider.reset()

    def asked(self, word: str) -> dict[str, list[Record]]:
        """The requests with that word in path or body, by the provider that got them."""
        found = {
            provider.settings.name: [r for r in provider.records if word in r.path or word.encode() in r.body]
            for provider in self.providers
        }
        return {name: records for name, records in found.items() if records}

    def named(self, name: str) -> SimulatedProvider:
        return self.providers[NAMES.index(name)]


class Voice(NamedTuple):
    """A client, asynchronous or not, used in one way."""

    client: Any
    group: str

    @property
    def is_sync(self) -> bool:
        return isinstance(self.client, openai.OpenAI)

    async def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What a method of the client returns."""
        return await (asyncio.to_thread(method, *args, **options) if self.is_sync else method(*args, **options))

    async def all(self, method: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """Everything in the list that a method returns, all pages of it."""
        if self.is_sync:
            return await asyncio.to_thread(lambda: list(method(*args, **options)))
        return [item async for item in method(*args, **options)]

    async def events(self, method: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """Everything in the stream that a method returns."""
        stream = await self.call(method, *args, **options)
        return await asyncio.to_thread(list, stream) if self.is_sync else [event async for event in stream]

    async def final(self, **options: Any) -> Any:
        """The final response of `responses.stream()`."""

        def talk() -> Any:
            with self.client.responses.stream(**options) as stream:
                return stream.get_final_response()

        if self.is_sync:
            return await asyncio.to_thread(talk)
        async with self.client.responses.stream(**options) as stream:
            return await stream.get_final_response()

    async def respond(self, **options: Any) -> Any:
        return await self.call(self.client.responses.create, model=self.group, **options)

    async def close(self) -> None:
        await self.call(self.client.close)


def group(name: str, providers: Sequence[SimulatedProvider]) -> dict[str, Any]:
    """A model group with an endpoint at each provider, where its model has the group's name."""
    params = {"api_key": UPSTREAM_KEY}
    return {"model_group": name, "models": [endpoint(p, model=name, params=params) for p in providers]}


def azure_group(name: str, providers: Sequence[SimulatedProvider]) -> dict[str, Any]:
    """The same accounts, reached in Azure's way."""

    def model(provider: SimulatedProvider) -> dict[str, Any]:
        params = {"azure_endpoint": provider.url, "api_version": "2025-04-01-preview", "api_key": UPSTREAM_KEY}
        return {"model": name, "params": params}

    return {"model_group": name, "models": [model(p) for p in providers]}


@asynccontextmanager
async def running_world(
    folder: Path, groups: Callable[[Sequence[SimulatedProvider]], list[dict[str, Any]]], **general: Any
) -> AsyncIterator[World]:
    """Providers and a proxy with the groups that are made of them. `general` are its general settings."""
    async with AsyncExitStack() as stack:
        providers = [await stack.enter_async_context(SimulatedProvider(ProviderSettings(name=n))) for n in NAMES]
        settings: Mapping[str, Any] = config([], **general) | {"model_groups": groups(providers)}
        proxy = Composed(folder, settings)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        yield World(proxy, providers)
