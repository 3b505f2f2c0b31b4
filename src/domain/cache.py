"""Which requests may be answered from the cache, under which key, and for how long. Every rule about that lives here.

A request may be cached when asking again would be expected to give the same answer and when nothing but the answer
comes of it: temperature 0 (or what the configuration says where none is named), one choice, nothing stored at the
provider, no tool that the provider runs. Two requests share an entry only if their whole bodies mean the same.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

KEY_VERSION = b"llmproxy-cache-1"
TTL_JITTER = 0.05
"""Entries made together do not end together."""

DELIVERY = ("stream", "stream_options")
"""Fields that say how the answer is sent, and not what it is."""

_ASKED_TO_STAY_OUT = (
    "store", "background", "previous_response_id", "conversation", "prompt", "audio",
    "web_search_options", "data_sources", "dataSources", "search_parameters", "plugins",
)  # fmt: skip
"""Fields that tie a request to what is kept elsewhere, make more of it than text, or have the provider look something
up. An empty object turns them on as well."""

_OWN_TOOLS = ("function", "custom")
"""Tools that the client runs. All others are run by the provider, and see the world as it is then."""


class CacheState(StrEnum):
    """What the cache did with a request."""

    BYPASS = "bypass"
    """It may not be cached."""
    MISS = "miss"
    REFRESH = "refresh"
    """The client wanted a new answer; the old entry is replaced."""
    HIT = "hit"
    SHARED = "shared"
    """An identical request was under way; this is its answer."""


class CacheControl(Struct, frozen=True):
    """What the client's `Cache-Control` asks for (RFC 9111, 5.2.1)."""

    no_cache: bool = False
    no_store: bool = False
    max_age_s: float | None = None
    """None = an answer of any age will do."""


class CacheKey(Struct, frozen=True):
    """Where an entry is kept, and what proves that it belongs there."""

    name: str
    """A digest; says nothing about the request to somebody who sees the store."""
    seal: bytes
    """Known only to who knows the request: an entry that is not signed with it was not made for it."""


class CachePolicy(Struct, frozen=True):
    """The configuration's say."""

    ttl_s: float = 604_800.0
    scope_is_global: bool = False
    """Do clients with different credentials share answers?"""
    absent_is_cacheable: bool = False
    """What a request without a temperature is taken for; the API's default is 1."""

    def needs_look(self, body: bytes) -> bool:
        """Could this body be cacheable at all? Saves decoding those that cannot."""
        return self.absent_is_cacheable or b'"temperature"' in body

    def allows(self, fields: Mapping[str, Any]) -> bool:
        """May an answer to this chat request be kept, and one that was kept be given?"""
        temperature = fields.get("temperature")
        if temperature is None:
            deterministic = self.absent_is_cacheable
        else:
            deterministic = _is_number(temperature) and temperature == 0
        return (
            deterministic
            and _is_plain_delivery(fields)
            and fields.get("n") in (None, 1)
            and all(fields.get(name) in (None, False) for name in _ASKED_TO_STAY_OUT)
            and not _speaks(fields.get("modalities"))
            and all(_is_own_tool(tool) for tool in _items(fields.get("tools")))
        )

    def key(self, api: str, group: str, client: str, parts: Iterable[str], fields: Mapping[str, Any]) -> CacheKey:
        """The key of a request with these body fields. `client` is a digest of its credential; `parts` are what else
        of it a provider's answer may depend on."""
        digest = hashlib.sha256(KEY_VERSION)
        scope = "global" if self.scope_is_global else f"client {client}"
        for part in (api, group, scope, *parts):
            text = part.encode()
            digest.update(b"%d:%b" % (len(text), text))
        content = {name: value for name, value in fields.items() if name not in DELIVERY}
        digest.update(msgspec.json.encode(content, order="sorted"))
        seal = digest.digest()
        return CacheKey(hashlib.sha256(b"name:" + seal).hexdigest(), seal)

    def lifetime_s(self, draw: float) -> float:
        """How long a new entry lives; `draw` in [0, 1) sets the jitter."""
        return self.ttl_s * (1 + TTL_JITTER * (2 * draw - 1))


def decode(body: bytes) -> Mapping[str, Any] | None:
    """The fields of a body; None = it is no JSON object."""
    try:
        fields = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def is_unambiguous(body: bytes, fields: Mapping[str, Any]) -> bool:
    """Does the body name no key twice, at any depth? Of two equal keys one reader takes the first and another the last,
    so an entry made for one reading would answer the other."""
    return _quotes(msgspec.json.encode(fields)) == _quotes(body)


def _quotes(text: bytes) -> int:
    """A canonical text never has more of these than the original, and fewer where a key was dropped."""
    return text.count(b'"') - text.count(b'\\"')


def _is_plain_delivery(fields: Mapping[str, Any]) -> bool:
    """Are the fields that are no part of the key what the API takes? What it refuses must not get another's answer."""
    stream, options = fields.get("stream"), fields.get("stream_options")
    if not (stream is None or isinstance(stream, bool)):
        return False
    return options is None or (stream is True and isinstance(options, dict))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _speaks(modalities: object) -> bool:
    return modalities is not None and modalities != ["text"]


def _items(tools: object) -> Iterable[object]:
    return tools if isinstance(tools, list) else () if tools is None else (None,)


def _is_own_tool(tool: object) -> bool:
    return isinstance(tool, dict) and tool.get("type") in _OWN_TOOLS
