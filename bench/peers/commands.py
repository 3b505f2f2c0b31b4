"""Gateways that are programs: `--peer NAME=COMMAND`, started by their command line; README.md says what it may hold."""

import re
import shlex
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from bench.peers.subjects import Peer, started
from bench.servers.children import ROOT
from bench.servers.payloads import MODEL, UPSTREAM_MODEL
from bench.servers.subjects import PATH, Subject
from bench.world import World
from tests.free_port import free_port

_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_COPIED = re.compile(r"\{(config|folder):([^{}]+)\}")


class Command(Struct, frozen=True):
    """What is between the words: a command line with placeholders, and variables before it as a shell has them."""

    name: str
    words: tuple[str, ...]
    environ: dict[str, str]

    @property
    def path(self) -> str:
        """Where it takes chat completions."""
        return self.environ.get("BENCH_PATH", PATH)

    @property
    def model(self) -> str:
        """What it calls the model."""
        return self.environ.get("BENCH_MODEL", MODEL)

    def peer(self) -> Peer:
        """To be measured beside the others."""
        return Peer(self.name, self._start, lambda: shutil.which(self.words[0]) is not None)

    def _start(self, world: World, origin: str) -> Subject:
        port = free_port()
        home = world.scratch / f"{self.name}-{port}"
        home.mkdir()
        values = {"port": str(port), "upstream": origin, "upstream_host": urlsplit(origin).netloc}
        values |= {"folder": str(home), "model": self.model, "upstream_model": UPSTREAM_MODEL}
        command = [filled(word, home, values) for word in self.words]
        environ = {name: filled(value, home, values) for name, value in self.environ.items()}
        child = world.children.start(self.name, command, environ)
        return started(self.name, child, f"http://127.0.0.1:{port}{self.path}", model=self.model)


def parsed(text: str) -> Command:
    """`NAME=COMMAND`. Raises `ValueError` where it is something else."""
    name, _, command = text.partition("=")
    words = shlex.split(command)
    environ: dict[str, str] = {}
    while words and _ASSIGNED.match(words[0]):
        variable, _, value = words.pop(0).partition("=")
        environ[variable] = value
    if not re.fullmatch(r"[\w.-]+", name) or not words:
        raise ValueError(f"a peer is NAME=COMMAND, not {text!r}")
    return Command(name=name, words=tuple(words), environ=environ)


def filled(word: str, home: Path, values: dict[str, str]) -> str:
    """One word with its placeholders replaced; files it names are copied into `home` with theirs replaced."""
    return _COPIED.sub(lambda found: _copied(found[1], ROOT / found[2], home, values), _placed(word, values))


def _copied(kind: str, path: Path, home: Path, values: dict[str, str]) -> str:
    for file in [path] if kind == "config" else sorted(each for each in path.iterdir() if each.is_file()):
        (home / file.name).write_text(_placed(file.read_text(encoding="utf-8"), values), encoding="utf-8")
    return str(home / path.name if kind == "config" else home)


def _placed(text: str, values: dict[str, str]) -> str:
    """Each known `{name}`; other braces stay, as JSON is full of them."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)
