"""nginx and Caddy before the proxy, with the configurations of deploy/ but for ports, folders and names."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.free_port import free_port
from tests.integration.harness import ROOT, eventually


def nginx_program() -> str:
    """Its path. Where there is none the test is skipped, and fails in CI."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        reason = "there is no nginx: apt-get install nginx"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return program


@asynccontextmanager
async def nginx(folder: Path, proxy_port: int) -> AsyncIterator[int]:
    """The port of an nginx with deploy/nginx.conf."""
    program = nginx_program()
    port = free_port()
    text = (ROOT / "deploy/nginx.conf").read_text()
    for pattern, own in {
        r"listen 8080;": f"listen 127.0.0.1:{port};",
        r"server proxy:4000 [^;]*;": f"server 127.0.0.1:{proxy_port} max_fails=0;",
        r"server proxy-2:4000 [^;]*;": "",
        r"/tmp/": f"{folder}/",
        r"access_log off;.*": f"log_format asked '$request_uri'; access_log {folder}/asked.log asked;",
        r"worker_processes auto;": "worker_processes 1;" + (" user root;" if os.getuid() == 0 else ""),
    }.items():
        text, count = re.subn(pattern, own, text)
        assert count, pattern
    path = folder / "nginx.conf"
    path.write_text(text)
    process = await asyncio.create_subprocess_exec(
        program, "-e", str(folder / "nginx.log"), "-p", str(folder), "-c", str(path), "-g", "daemon off;"
    )
    try:
        await eventually(lambda: process.returncode is not None or is_listening(port))
        assert process.returncode is None, (folder / "nginx.log").read_text()
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def is_listening(port: int) -> bool:
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


@asynccontextmanager
async def nginx_below_a_prefix(folder: Path, proxy_port: int) -> AsyncIterator[int]:
    """The port of an nginx with deploy/nginx-prefix.conf."""
    port = free_port()
    text = (ROOT / "deploy/nginx-prefix.conf").read_text()
    (folder / "nginx.conf").write_text(text.replace(":4000", f":{proxy_port}").replace(":8080", f":{port}"))
    async with running(nginx_program(), "-p", folder, "-c", folder / "nginx.conf"):
        await eventually(lambda: is_listening(port))
        yield port


@asynccontextmanager
async def caddy(folder: Path, proxy_port: int) -> AsyncIterator[tuple[int, int]]:
    """The ports of a Caddy with deploy/Caddyfile: that of the site, and that of the other site with the prefix."""
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("there is no caddy")
    site, below = free_port(), free_port()
    text = (ROOT / "deploy/Caddyfile").read_text().replace(":4000", f":{proxy_port}")
    text = text.replace("llm.example.com {", f"http://127.0.0.1:{site} {{")
    text = text.replace("www.example.com {", f"http://127.0.0.1:{below} {{")
    options = f"{{\n admin off\n persist_config off\n default_bind 127.0.0.1\n storage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(options + text)
    async with running(program, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"):
        await eventually(lambda: is_listening(site) and is_listening(below))
        yield site, below


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[None]:
    """A program, ended at the end."""
    process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr, stderr=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
