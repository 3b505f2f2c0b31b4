"""The responses a provider remembers. Each provider has its own: an id of another one is unknown here."""

from collections import OrderedDict
from typing import Any

from msgspec import Struct

from adapters.provider.content import Turn
from adapters.provider.errors import (
    foreign_encrypted_content,
    not_cancellable,
    unknown_previous_response,
    unknown_response,
)
from adapters.provider.questions import ResponsesQuestion
from adapters.provider.reply import Reply, json_reply
from adapters.provider.responses import (
    Draft,
    is_own_encrypted_content,
    make_draft,
    response_object,
    response_stream_reply,
)
from adapters.provider.routes import Route

MAX_RESPONSES = 10_000
MAX_BYTES = 256 * 1024 * 1024


class _Stored(Struct):
    draft: Draft
    ready_s: float
    """When a background response is done (monotonic seconds)."""
    is_cancelled: bool = False

    def status(self, now_s: float) -> str:
        if self.is_cancelled:
            return "cancelled"
        return self.draft.final_status if now_s >= self.ready_s else "queued"

    def as_object(self, now_s: float) -> dict[str, Any]:
        return response_object(self.draft, self.status(now_s))


class ResponseStore:
    """Creates responses and answers everything that names one. Keeps the last, bounded by count and bytes."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._bytes = 0

    def clear(self) -> None:
        self._stored.clear()
        self._bytes = 0

    def create(self, question: ResponsesQuestion, turn: Turn, latency_s: float, now_s: float) -> Reply:
        """POST responses. A background response is queued and done `latency_s` later."""
        previous = question.previous_response_id
        if previous is not None and previous not in self._stored:
            return unknown_previous_response(previous)
        for item in question.input_items():
            content = item.get("encrypted_content")
            if isinstance(content, str) and not is_own_encrypted_content(content, self._account):
                return foreign_encrypted_content(content)
        draft = make_draft(question, turn, self._account)
        stored = _Stored(draft, now_s + latency_s if question.background else now_s)
        if question.store is not False:
            self._keep(stored)
        if question.stream:
            return response_stream_reply(draft)
        return json_reply(200, stored.as_object(now_s), works=not question.background)

    def _keep(self, stored: _Stored) -> None:
        self._stored[stored.draft.id] = stored
        self._bytes += stored.draft.turn.body_bytes
        while len(self._stored) > MAX_RESPONSES or (self._bytes > MAX_BYTES and len(self._stored) > 1):
            _, oldest = self._stored.popitem(last=False)
            self._bytes -= oldest.draft.turn.body_bytes

    def get(self, route: Route, now_s: float) -> Reply:
        """GET responses/{id}, with `?stream=true&starting_after=N` the events after number N."""
        stored = self._stored.get(route.resource_id)
        if stored is None:
            return unknown_response(route.resource_id)
        if route.query.get("stream") == ["true"]:
            after = route.query.get("starting_after", ["-1"])[0]
            return response_stream_reply(stored.draft, int(after) if after.lstrip("-").isdigit() else -1)
        return json_reply(200, stored.as_object(now_s))

    def delete(self, response_id: str) -> Reply:
        stored = self._stored.pop(response_id, None)
        if stored is None:
            return unknown_response(response_id)
        self._bytes -= stored.draft.turn.body_bytes
        return json_reply(200, {"id": response_id, "object": "response", "deleted": True})

    def cancel(self, response_id: str, now_s: float) -> Reply:
        """POST responses/{id}/cancel: only a background response can be; cancelling twice is the same as once."""
        stored = self._stored.get(response_id)
        if stored is None:
            return unknown_response(response_id)
        if not stored.draft.question.background:
            return not_cancellable()
        stored.is_cancelled = stored.is_cancelled or now_s < stored.ready_s
        return json_reply(200, stored.as_object(now_s))

    def input_items(self, response_id: str) -> Reply:
        stored = self._stored.get(response_id)
        if stored is None:
            return unknown_response(response_id)
        items = [
            {"id": f"item_{stored.draft.turn.unique}{index:02x}", "type": "message", **item}
            for index, item in enumerate(stored.draft.question.input_items())
        ]
        edges = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
        return json_reply(200, {"object": "list", "data": items, "has_more": False, **edges})
