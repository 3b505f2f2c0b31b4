"""The real proxy on a real socket, served by the test's own loop: composed of what a worker is composed of, at a
hundredth of the CPU of a process."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from dependency_injector import providers

from adapters.telemetry.log_lines import JsonLines, TextLines
from application.ports import Upstream
from entrypoints.banner import banner
from entrypoints.config.load import load_settings
from entrypoints.container import Container
from entrypoints.processes.tcp_port import bind
from entrypoints.reload.generations import Generations
from tests.integration.harness import Proxy
from tests.integration.raw_http import RawClient

START_S = 20


class Lines(logging.Handler):
    """Keeps what is logged, as it would be written, in both formats and at once: without the thread that writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.json: list[str] = []
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.json.append(JsonLines().format(record))
        self.text.append(TextLines().format(record))


class Composed(Proxy, RawClient):
    """A proxy with a config, from `start()` to `stop()`."""

    container: Container

    def __init__(self, folder: Path, settings: Mapping[str, Any], client: Upstream | None = None) -> None:
        """`folder` is for the config's file; `client` None = what the config names."""
        self._path = folder / f"llmproxy-{id(self)}.yaml"
        self._path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
        self._client = client
        self._serving: asyncio.Task[None] | None = None
        self.lines = Lines()

    async def start(self) -> None:
        """Returns when it serves, and raises what kept it from it; after a `stop()` it is composed anew, elsewhere."""
        self._told = asyncio.Event()
        settings = load_settings(self._path, os.environ, {"bind_port": 1})
        (socks,) = bind(settings.general.bind_address, 0, 1).by_worker
        self.port = socks[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._is_text = settings.general.log_format == "text"
        self._banner = banner(settings, demo=False)
        self.container = Container(settings=settings)
        if self._client is not None:
            self.container.client.override(providers.Object(self._client))
        # None that pytest knows of, which would want to format its records.
        logger = logging.Logger(f"llmproxy-{self.port}", settings.general.log_level.upper())
        logger.addHandler(self.lines)
        self.container.logger.override(providers.Object(logger))
        ready = asyncio.Event()
        # In a task of its own, as its scopes must be left where they were entered, which fixtures do not promise.
        self._serving = asyncio.create_task(self._serve(socks, ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((self._serving, waiting), timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._serving.done():
            await self._serving
        assert ready.is_set(), "the proxy did not start in time"

    async def _serve(self, socks: Sequence[socket.socket], ready: asyncio.Event) -> None:
        """As `entrypoints.processes.worker` does, in one task."""
        async with self.container.app().lifespan():
            server = self.container.server(socks[0], 1000, socks[1:])
            self.generations = Generations(self.container, server)
            await server.start(1000)
            ready.set()
            await self._told.wait()
            self.container.in_flight().drain()
            await server.stop()
            await self.generations.close()

    def reload(self, settings: Mapping[str, Any]) -> None:
        """As a worker does whose parent says so."""
        self._path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
        self.generations.prepare(load_settings(self._path, os.environ, {"bind_port": 1}))
        self.generations.commit(self.generations.current.reloads().state.after_success(0.0))
        self.container = self.generations.current

    async def stop(self) -> int:
        """As SIGTERM; 0."""
        self._told.set()
        if self._serving is not None:
            async with asyncio.timeout(60):
                await self._serving
        return 0

    @property
    def output(self) -> str:
        return self._banner

    @property
    def errors(self) -> str:
        return "\n".join(self.lines.text if self._is_text else self.lines.json)

    def log(self, event: str = "request") -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.lines.json) if line["event"] == event]

    def requests(self) -> list[dict[str, Any]]:
        """The log lines of requests so far."""
        return self.log()

    def text_of_requests(self) -> list[str]:
        """The same, as text."""
        return [line for line in self.lines.text if " request " in line]


@asynccontextmanager
async def composed(
    folder: Path, settings: Mapping[str, Any], client: Upstream | None = None
) -> AsyncIterator[Composed]:
    """A proxy with that config, ended at the end, when nothing in it may have broken."""
    proxy = Composed(folder, settings, client)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
    broken = proxy.log("internal error")
    assert not broken, broken
