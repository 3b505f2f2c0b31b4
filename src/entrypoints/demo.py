"""`--demo`: three simulated providers on this machine (a healthy one, a flaky one, a rate-limited one) and a config for
them. No key, no network; the config is an ordinary one and may be copied."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from entrypoints.processes.parent_watch import die_with, processes
from simulator import ProviderSettings, SimulatedProvider

_FLAKY = [
    {"every": 4, "action": {"kind": "status", "status": 503}},
    {"every": 7, "action": {"kind": "reset", "when": "before_headers"}},
]
_PROVIDERS = (
    (ProviderSettings(name="healthy", latency_s=0.05, tokens_per_second=50), ()),
    (ProviderSettings(name="flaky", latency_s=0.05, tokens_per_second=50), _FLAKY),
    (ProviderSettings(name="limited", latency_s=0.05, tokens_per_second=50, rpm=30, header_style="azure"), ()),
)

_CONFIG = """\
model_groups:
  - model_group: demo
    models:
      - id: healthy
        model: demo
        weight: 2
        params: {{base_url: "{0}/v1", api_key: demo}}
      - id: flaky
        model: demo
        weight: 1
        params: {{base_url: "{1}/v1", api_key: demo}}
      - id: limited
        model: demo
        weight: 1
        params: {{base_url: "{2}/v1", api_key: demo}}
general_settings:
  cooldown_time: 5
"""


@contextmanager
def demo_config() -> Iterator[Path]:
    """The path of a config for three providers that run until the context is left."""
    ours, theirs = processes().Pipe()
    process = processes().Process(  # type: ignore[attr-defined] # every context has it
        target=_run_providers, args=(os.getpid(), theirs), daemon=True
    )
    process.start()
    theirs.close()
    try:
        urls = ours.recv()
        with tempfile.TemporaryDirectory(prefix="llmproxy-demo-") as folder:
            path = Path(folder) / "llmproxy.yaml"
            path.write_text(_CONFIG.format(*urls))
            yield path
    finally:
        process.terminate()
        process.join()


def _run_providers(parent: int, told: Connection) -> None:
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asyncio.run(_serve(told))


async def _serve(told: Connection) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        urls = []
        for settings, faults in _PROVIDERS:
            provider = SimulatedProvider(settings)
            provider.set_faults(faults)
            await stack.enter_async_context(provider)
            urls.append(provider.url)
        told.send(urls)
        await stopped.wait()
