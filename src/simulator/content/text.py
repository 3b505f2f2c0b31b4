"""What an answer says: words, JSON or a tool's arguments, cut into tokens. The same request gets the same answer."""

from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from simulator.content.schemas import fitting

# With characters of two, three and four bytes, so that a reply cut anywhere can be cut inside a character.
_TEXT = """the quick brown fox jumps over a lazy dog while Zürich naïve cafés serve crème brûlée near 東京 駅 and
every pangram sings 🦊 of packed boxes with five dozen liquor jugs as waltzing nymphs vex bad jocks for quartz"""
_WORDS = tuple(_TEXT.split())
_PIECE_CHARACTERS = 8


class Tool(Struct, frozen=True):
    """A function the caller offers, and the JSON schema of its arguments."""

    name: str
    parameters: dict[str, Any]


class Ask(Struct, frozen=True):
    """What kind of answer is wanted. With a `tool` it is a call, with a `schema` JSON, else words."""

    max_tokens: int | None = None
    tool: Tool | None = None
    schema: dict[str, Any] | None = None


class Content(Struct, frozen=True):
    """One answer. Each piece is one token; `tool_name` is set when they are a call's arguments."""

    pieces: list[str]
    is_cut: bool = False
    """By `max_tokens`."""
    tool_name: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def digest_of(body: bytes) -> str:
    """Twelve hexadecimal digits that stand for a request body."""
    return blake2b(body, digest_size=6).hexdigest()


def compose(ask: Ask, name: str, digest: str, index: int, words: int) -> Content:
    """The answer number `index` of provider `name` to the request with that digest."""
    signature = f"{name}/{digest}/{index}"
    if ask.tool is not None:
        arguments = fitting(ask.tool.parameters or {"type": "object"}, signature)
        return Content(_pieces_of_json(arguments), tool_name=ask.tool.name)
    if ask.schema is not None:
        pieces = _pieces_of_json(fitting(ask.schema, signature))
    else:
        offset = int(digest[:4], 16) + index
        pieces = [signature, *[" " + _WORDS[(offset + i) % len(_WORDS)] for i in range(words - 1)]]
    if ask.max_tokens is None or ask.max_tokens >= len(pieces):
        return Content(pieces)
    return Content(pieces[: max(1, ask.max_tokens)], is_cut=True)


def _pieces_of_json(value: Any) -> list[str]:
    text = msgspec.json.encode(value).decode()
    return [text[start : start + _PIECE_CHARACTERS] for start in range(0, len(text), _PIECE_CHARACTERS)]


class Turn(Struct, frozen=True):
    """One request being answered: by whom, when, and under which id."""

    name: str
    model: str
    body_bytes: int
    digest: str
    is_azure: bool
    unique: str
    """Makes the ids of this answer; different for every answer of every provider."""
    created_s: int
    words: int
    """How long the answer is when nothing bounds it."""

    @property
    def prompt_tokens(self) -> int:
        """What the request counts as input: a token for every four bytes."""
        return max(1, self.body_bytes // 4)

    def compose(self, ask: Ask, index: int = 0) -> Content:
        return compose(ask, self.name, self.digest, index, self.words)
