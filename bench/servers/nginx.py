"""nginx twice: as the provider that answers at once, and as the reverse proxy that all proxies are compared with."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from bench.servers.children import Child, Children, answers
from bench.servers.payloads import REPLY, REPLY_HEADERS
from tests.free_port import free_port

_COMMON = """\
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 16384; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; client_max_body_size 64m;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{servers}
}}
"""

_PROVIDER = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; {headers} return 200 '{reply}'; }}
  }}"""

_REVERSE_PROXY = """\
  upstream {name} {{ server {origin}; keepalive 4096; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://{name}; proxy_http_version 1.1; proxy_set_header Connection '';
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}"""


def installed() -> str | None:
    """The path of nginx; None = it is not there. Debian has it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


def start_provider(children: Children, folder: Path) -> str:
    """A provider that answers each request at once with the same 1.1 kB, and its URL."""
    port = free_port()
    headers = " ".join(f'add_header {name} "{value}";' for name, value in REPLY_HEADERS.items())
    server = _PROVIDER.format(port=port, headers=headers, reply=REPLY.decode())
    _start(children, "nginx-provider", folder, server, port)
    return f"http://127.0.0.1:{port}"


def start_reverse_proxy(children: Children, folder: Path, origins: Mapping[str, str]) -> tuple[Child, dict[str, str]]:
    """One nginx with a server in front of each origin (name to URL); returns their URLs by the same names."""
    ports = {name: free_port() for name in origins}
    servers = "\n".join(
        _REVERSE_PROXY.format(name=name, origin=origin.removeprefix("http://"), port=ports[name])
        for name, origin in origins.items()
    )
    child = _start(children, "nginx-proxy", folder, servers, *ports.values())
    return child, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}


def _start(children: Children, name: str, folder: Path, servers: str, *ports: int) -> Child:
    nginx = installed()
    if nginx is None:
        raise FileNotFoundError("nginx")
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    config = home / "nginx.conf"
    config.write_text(_COMMON.format(folder=home, servers=servers), encoding="utf-8")
    child = children.start(name, [nginx, "-p", str(home), "-e", str(home / "error.log"), "-c", str(config)])
    for port in ports:
        child.wait_until(lambda port=port: answers(f"http://127.0.0.1:{port}/"))  # type: ignore[misc]
    return child
