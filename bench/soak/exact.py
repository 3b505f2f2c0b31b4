"""What the providers must have sent, byte for byte: made once more by their own code, from the ids in what came."""

import re
from typing import Any

import msgspec

from bench.soak.world import PROVIDERS
from simulator.content.answers import chat_reply, embeddings_reply
from simulator.content.questions import ChatQuestion, EmbeddingsQuestion, ResponsesQuestion
from simulator.content.responses import make_draft, response_object, response_stream_reply
from simulator.content.streams import chat_stream_reply
from simulator.content.text import Turn, digest_of
from simulator.protocol.reply import Reply, encode_json

_FIRST_JSON = re.compile(rb"data: (\{.*?\})\n\n")
_SIGNATURE = re.compile(rb'"([a-z]+)/[0-9a-f]{12}/0')
"""How every answer in words begins: with the name of who made it."""


def is_exact_chat(question: bytes, received: bytes, *, stream: bool) -> bool:
    """Is this the whole answer that the provider made to this question?"""
    about, name = _about(received, stream=stream), _name(received)
    if about is None or name is None:
        return False
    turn = _turn(question, about, name, str(about["id"]).removeprefix("chatcmpl-"), int(about["created"]))
    asked = msgspec.json.decode(question, type=ChatQuestion)
    return received == _bytes(chat_stream_reply(asked, turn) if stream else chat_reply(asked, turn))


def is_exact_response(question: bytes, received: bytes, *, stream: bool) -> bool:
    """The same of the Responses API."""
    about, name = _about(received, stream=stream), _name(received)
    if about is None or name is None:
        return False
    about = about.get("response", about)
    turn = _turn(question, about, name, str(about["id"]).removeprefix("resp_"), int(about["created_at"]))
    draft = make_draft(msgspec.json.decode(question, type=ResponsesQuestion), turn, "")
    if stream:
        return received == _bytes(response_stream_reply(draft))
    return received == encode_json(response_object(draft, draft.final_status))


def is_exact_embedding(question: bytes, received: bytes, providers: tuple[str, ...]) -> bool:
    """The same of embeddings, which do not say who made them."""
    about = _about(received, stream=False)
    if about is None:
        return False
    asked = msgspec.json.decode(question, type=EmbeddingsQuestion)
    return any(received == _bytes(embeddings_reply(asked, _turn(question, about, name, "", 0))) for name in providers)


def _about(received: bytes, *, stream: bool) -> dict[str, Any] | None:
    found = _FIRST_JSON.search(received) if stream else None
    try:
        value = msgspec.json.decode(found[1] if found else received)
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, dict) else None


def _name(received: bytes) -> str | None:
    found = _SIGNATURE.search(received)
    return found[1].decode() if found and found[1].decode() in PROVIDERS else None


def _turn(question: bytes, about: dict[str, Any], name: str, unique: str, created_s: int) -> Turn:
    return Turn(
        name=name,
        model=about["model"],
        body_bytes=len(question),
        digest=digest_of(question),
        is_azure=False,
        unique=unique,
        created_s=created_s,
        words=PROVIDERS[name].answer_tokens,
    )


def _bytes(reply: Reply) -> bytes:
    return reply.body if reply.events is None else b"".join(reply.events.frames())
