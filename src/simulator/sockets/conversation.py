"""What a Realtime socket says (OpenAI API reference, Realtime client and server events): events in, events out."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

Event = dict[str, Any]

AUDIO_BYTES = 480
"""Of PCM in each delta: 10 ms at 24 kHz."""


class Charged(Struct, frozen=True):
    """What a response costs: whether it was let in, and what is left."""

    limits: list[Event]
    """As `rate_limits.updated` has it; empty = there are none."""
    refusal: str = ""
    """Why it was not let in; empty = it was."""


class Conversation:
    """One session, from its first event on."""

    def __init__(
        self, name: str, model: str, words: int, unique: Callable[[], str], charge: Callable[[int], Charged]
    ) -> None:
        """`name` is mentioned in every answer, which has so many `words`; `charge` is told the tokens of a response."""
        self.session: Event = {
            "type": "realtime", "object": "realtime.session", "id": f"sess_{unique()}", "model": model,
            "output_modalities": ["audio"], "instructions": "",
        }  # fmt: skip
        self._name = name
        self._words = words
        self._unique = unique
        self._charge = charge
        self._heard_bytes = 0

    def opened(self, expires_at: int) -> Event:
        """The first event."""
        self.session["expires_at"] = expires_at
        return self._event("session.created", session=self.session)

    def expired(self) -> Event:
        """What is said before a session is closed for its age."""
        return self.error("Your session hit the maximum duration of 60 minutes.", "session_expired")

    def error(self, message: str, code: str | None, *, kind: str = "invalid_request_error") -> Event:
        """An error; most leave the session open."""
        said = {"type": kind, "code": code, "message": message, "param": None, "event_id": None}
        return self._event("error", error=said)

    def answers(self, message: bytes, *, is_text: bool) -> Iterator[Event]:
        """To one message of the client, in order."""
        try:
            event = msgspec.json.decode(message) if is_text else None
        except ValueError:
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            yield self.error("Messages are JSON objects with a 'type'.", "invalid_event")
            return
        match event["type"]:
            case "session.update":
                self.session |= event.get("session") or {}
                yield self._event("session.updated", session=self.session)
            case "conversation.item.create":
                item = {"object": "realtime.item", "status": "completed"} | (event.get("item") or {})
                item.setdefault("id", f"item_{self._unique()}")
                yield self._event("conversation.item.added", previous_item_id=None, item=item)
                yield self._event("conversation.item.done", previous_item_id=None, item=item)
            case "input_audio_buffer.append":
                self._heard_bytes += len(str(event.get("audio") or "")) * 3 // 4
            case "input_audio_buffer.commit":
                self._heard_bytes = 0
                yield self._event("input_audio_buffer.committed", item_id=f"item_{self._unique()}")
            case "response.create":
                yield from self._respond(event.get("response") or {})
            case kind:
                yield self.error(f"Invalid value: '{kind}'.", "invalid_value")

    def _respond(self, asked: Event) -> Iterator[Event]:
        response_id, item_id = f"resp_{self._unique()}", f"item_{self._unique()}"
        modalities = asked.get("output_modalities") or self.session["output_modalities"]
        response: Event = {"object": "realtime.response", "id": response_id, "status": "in_progress", "output": []}
        yield self._event("response.created", response=response)
        usage = {"total_tokens": 12 + self._words, "input_tokens": 12, "output_tokens": self._words}
        charged = self._charge(usage["total_tokens"])
        if charged.refusal:
            error = {"type": "tokens", "code": "rate_limit_exceeded", "message": charged.refusal}
            yield self._ended(response | {"status": "failed", "status_details": {"type": "failed", "error": error}})
            return
        place = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        text = " ".join(f"{self._name}-{number}" for number in range(self._words))
        item = {"id": item_id, "type": "message", "role": "assistant", "content": [{"type": "output_text"}]}
        yield self._event("response.output_item.added", response_id=response_id, output_index=0, item=item)
        kind = "response.output_text" if modalities == ["text"] else "response.output_audio_transcript"
        for number in range(self._words):
            yield self._event(f"{kind}.delta", **place, delta=f"{' ' if number else ''}{self._name}-{number}")
            if modalities != ["text"]:
                yield self._event("response.output_audio.delta", **place, delta=_audio(number))
        yield self._event(f"{kind}.done", **place, **{"text" if modalities == ["text"] else "transcript": text})
        yield self._ended(response | {"status": "completed", "output": [item], "usage": usage})
        if charged.limits:
            yield self._event("rate_limits.updated", rate_limits=charged.limits)

    def _ended(self, response: Event) -> Event:
        return self._event("response.done", response=response)

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "event_id": f"event_{self._unique()}", **fields}


def _audio(number: int) -> str:
    """Always the same for the same number."""
    return base64.b64encode(bytes((number + at) % 256 for at in range(AUDIO_BYTES))).decode()
