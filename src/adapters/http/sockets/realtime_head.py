"""What opens a Realtime socket, put as any other request is: credentials in headers, the model as `model`.

Browsers can set no headers: they put the key among the subprotocols (OpenAI) or into the query (Azure).
"""

from urllib.parse import quote, unquote_plus

from msgspec import Struct

from adapters.http.server.request.head import RequestHead
from application.errors import InvalidRequest

SUBPROTOCOL = "realtime"
"""The one that is spoken; the others carry credentials."""

_IN_SUBPROTOCOLS = {
    b"openai-insecure-api-key.": b"authorization",
    b"openai-organization.": b"openai-organization",
    b"openai-project.": b"openai-project",
}
_KEY_HEADERS = (b"authorization", b"api-key", b"x-api-key")
_OF_THE_HANDSHAKE = frozenset({b"upgrade", b"connection"})
_NAMES_OF_MODEL = ("model", "deployment")


class Opening(Struct, frozen=True):
    """What a client asks for."""

    head: RequestHead
    """Without what belongs to the handshake, and without credentials in other places than headers."""
    model: str
    """Empty = none is named."""
    query: str
    """With the model as `model`."""
    has_subprotocol: bool
    """Does the client offer any subprotocol?"""


def opening_of(asked: RequestHead, deployment: str | None) -> Opening:
    """`deployment`: of the path. Raises `InvalidRequest` for two keys that differ, or two models."""
    offered = [
        part.strip() for name, value in asked.headers if name == b"sec-websocket-protocol" for part in value.split(b",")
    ]
    headers = [
        (name, value)
        for name, value in asked.headers
        if name not in _OF_THE_HANDSHAKE and not name.startswith(b"sec-websocket-")
    ]
    parts = [part for part in asked.query_string.decode("latin-1").split("&") if part]
    given = [*_in_subprotocols(offered), *_in_query(parts)]
    _check_keys([*headers, *given])
    named = {name for name, value in headers if value.strip()}
    headers += [pair for pair in given if pair[0] not in named]
    models = [_value(part) for part in parts if _name(part) in _NAMES_OF_MODEL] + ([deployment] if deployment else [])
    if len(set(models)) > 1:
        raise InvalidRequest("The URL names two models; name one.", param="model", code="repeated_field")
    others = [part for part in parts if _name(part) not in {*_NAMES_OF_MODEL, "api-key", "api-version"}]
    query = "&".join([*(f"model={quote(name)}" for name in models[:1]), *others])
    raw_query = query.encode("latin-1")
    head = RequestHead("GET", "1.1", asked.raw_path, asked.path, raw_query, headers, keeps=False)
    return Opening(head, models[0] if models else "", query, bool(offered))


def _in_subprotocols(offered: list[bytes]) -> list[tuple[bytes, bytes]]:
    found = []
    for part in offered:
        for prefix, header in _IN_SUBPROTOCOLS.items():
            if part.startswith(prefix):
                value = part.removeprefix(prefix)
                found.append((header, b"Bearer " + value if header == b"authorization" else value))
    return found


def _in_query(parts: list[str]) -> list[tuple[bytes, bytes]]:
    return [(b"api-key", _value(part).encode("latin-1", "replace")) for part in parts if _name(part) == "api-key"]


def _check_keys(headers: list[tuple[bytes, bytes]]) -> None:
    """One would be checked here and the other believed elsewhere."""
    keys = {
        value.partition(b" ")[2].strip() if name == b"authorization" else value.strip()
        for name, value in headers
        if name in _KEY_HEADERS and value.strip()
    }
    if len(keys) > 1:
        raise InvalidRequest("The request has two keys that differ; send one.", code="repeated_header")


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _value(part: str) -> str:
    return unquote_plus(part.partition("=")[2])
