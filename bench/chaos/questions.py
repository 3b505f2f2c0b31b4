"""What clients ask, and whether an answer is one to what was asked: every word of it, once, and to its end."""

import base64
import json
import re
from array import array
from typing import Any

import msgspec
from msgspec import Struct

from bench.wire import Answer
from simulator.content.answers import _vector
from simulator.content.text import Ask, compose, digest_of

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
CLIENT_KEY = "sk-chaos-canary-client"
PROMPT = "canary-prompt"
"""In every prompt; no answer says it."""
LONG = "-long"
"""What the name of a site's provider of long answers ends with."""

WORDS, LONG_WORDS = 24, 3000
DIMENSIONS = 64
_SIGNATURE = re.compile(r"([a-z]+(?:-long)?)/([0-9a-f]{12})/0")

WHOLE, TOLD, CUT, MIXED, WRONG, STATUS = "whole", "told", "cut", "mixed", "wrong", "status"
"""What a client may see: a whole answer; a stream that ends with an error event; one that ends in the middle; an answer
to another question; one that has too much, too little or other words; an error."""


class Question(Struct, frozen=True):
    """One request."""

    kind: str
    path: str
    body: bytes
    is_stream: bool = False
    owner: str | None = None
    """The site that keeps what it goes on from; None = any may answer."""

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": f"Bearer {CLIENT_KEY}"}


class Said(Struct, frozen=True):
    """What an answer says, and by whom. `is_ended` by what marks the end of a stream; `is_told` of an error."""

    text: str
    is_ended: bool
    is_told: bool = False
    id: str = ""


def chat(kind: str, text: str, group: str = "chat", **more: Any) -> Question:
    body = {"model": group, "messages": [{"role": "user", "content": f"{PROMPT} {text}"}], **more}
    return Question(kind, CHAT, json.dumps(body).encode(), bool(more.get("stream")))


def respond(kind: str, text: str, owner: str | None = None, **more: Any) -> Question:
    body = {"model": "chat", "input": f"{PROMPT} {text}", **more}
    return Question(kind, RESPONSES, json.dumps(body).encode(), bool(more.get("stream")), owner)


def embed(kind: str, text: str) -> Question:
    body = {"model": "chat", "input": f"{PROMPT} {text}", "encoding_format": "base64", "dimensions": DIMENSIONS}
    return Question(kind, EMBEDDINGS, json.dumps(body).encode())


def judged(question: Question, reply: Answer) -> str:
    """One of the words above."""
    if reply.status != 200:
        return STATUS if reply.ended else CUT
    if question.path == EMBEDDINGS:
        return _embedding(question, reply)
    said = read(question, reply.body)
    if said.is_told and not said.is_ended:
        return TOLD
    if not reply.ended or (question.is_stream and not said.is_ended):
        return CUT
    return _compared(question, said.text)


def site_of(text: str) -> str:
    """By whom an answer is; empty = by nobody."""
    found = _SIGNATURE.match(text)
    return found[1].removesuffix(LONG) if found else ""


def _compared(question: Question, text: str) -> str:
    found = _SIGNATURE.match(text)
    digest = digest_of(question.body)
    if not found:
        return WRONG
    if found[2] != digest:
        return MIXED
    words = LONG_WORDS if found[1].endswith(LONG) else WORDS
    return WHOLE if text == compose(Ask(), found[1], digest, 0, words).text else WRONG


def _embedding(question: Question, reply: Answer) -> str:
    if not reply.ended:
        return CUT
    try:
        told = json.loads(reply.body)["data"][0]["embedding"]
        vector = array("f", base64.b64decode(told))
    except (ValueError, LookupError, TypeError):
        return WRONG
    text = json.loads(question.body)["input"].encode()
    names = ("alpha", "beta", "gamma")
    expected = [_vector(f"{name} chat {digest_of(text)}".encode(), DIMENSIONS) for name in names]
    return WHOLE if vector in expected else MIXED if len(vector) == DIMENSIONS else WRONG


def read(question: Question, body: bytes) -> Said:
    """The words of an answer, whole or streamed."""
    if question.is_stream:
        events = [each[6:] for each in body.split(b"\n") if each.startswith(b"data: ")]
        return _streamed_chat(events) if question.path == CHAT else _streamed_response(events)
    told = _decoded(body)
    try:
        if question.path == CHAT:
            return Said(told["choices"][0]["message"]["content"], is_ended=True)
        return Said(_text_of(told), told["status"] == "completed", id=told["id"])
    except (LookupError, TypeError):
        return Said("", is_ended=False)


def _streamed_chat(events: list[bytes]) -> Said:
    words, is_told = [], False
    for event in events:
        told = _decoded(event)
        is_told = is_told or bool(told.get("error"))
        words += [choice.get("delta", {}).get("content") or "" for choice in told.get("choices", ())]
    return Said("".join(words), bool(events) and events[-1] == b"[DONE]", is_told)


def _streamed_response(events: list[bytes]) -> Said:
    words, last, is_told = [], {}, False
    for event in events:
        last = _decoded(event)
        is_told = is_told or last.get("type") in ("error", "response.failed")
        if last.get("type") == "response.output_text.delta":
            words.append(last["delta"])
    if last.get("type") != "response.completed":
        return Said("".join(words), is_ended=False, is_told=is_told)
    text = "".join(words)
    is_same = text == _text_of(last["response"])
    return Said(text if is_same else "", is_ended=True, id=last["response"]["id"])


def _text_of(response: dict[str, Any]) -> str:
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return told if isinstance(told, dict) else {}
