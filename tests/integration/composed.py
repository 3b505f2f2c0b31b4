"""The real proxy in the test's own process: composed from a config as a worker composes it, on a socket of its own."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from entrypoints.config import load_settings
from entrypoints.worker import compose

_CONNECTIONS = 100


@asynccontextmanager
async def composed(folder: Path, settings: Mapping[str, Any]) -> AsyncIterator[str]:
    """Serves a config until the end of the block, and gives the URL without a path. It logs errors alone."""
    path = folder / "composed.yaml"
    general = {"log_level": "error", **settings["general_settings"]}
    path.write_text(yaml.safe_dump({**settings, "general_settings": general}, sort_keys=False))
    container = compose(load_settings(path, {}))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with container.app().lifespan():
        server = container.server(sock, _CONNECTIONS)
        await server.start(_CONNECTIONS)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            await server.stop()
