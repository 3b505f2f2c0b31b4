"""The responses a provider remembers. Each provider has its own: an id of another one is unknown here."""

from collections import OrderedDict
from typing import Any

from msgspec import Struct

from simulator.content.items import shown
from simulator.content.questions import ResponsesQuestion
from simulator.content.responses import (
    Draft,
    is_own_encrypted_content,
    make_draft,
    output_items,
    response_object,
    response_stream_reply,
)
from simulator.content.text import Turn
from simulator.protocol.errors import (
    foreign_encrypted_content,
    not_cancellable,
    two_pasts,
    unknown,
    unknown_item,
    unknown_previous_response,
)
from simulator.protocol.listing import page
from simulator.protocol.reply import Reply, json_reply
from simulator.protocol.routes import Route
from simulator.settings import ProviderSettings
from simulator.storage.conversation_store import ConversationStore

MAX_RESPONSES = 10_000
MAX_BYTES = 256 * 1024 * 1024


class _Stored(Struct):
    draft: Draft
    ready_s: float
    """When a background response is done (monotonic seconds)."""
    denials: int
    """How often it will still be denied."""
    is_cancelled: bool = False

    def status(self, now_s: float) -> str:
        if self.is_cancelled:
            return "cancelled"
        return self.draft.final_status if now_s >= self.ready_s else "queued"

    def as_object(self, now_s: float) -> dict[str, Any]:
        return response_object(self.draft, self.status(now_s))


class ResponseStore:
    """Creates responses and answers everything that names one. Keeps the last, bounded by count and bytes."""

    def __init__(self, account: str, conversations: ConversationStore) -> None:
        self._account = account
        self._conversations = conversations
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._bytes = 0

    def refusal(self, question: ResponsesQuestion) -> Reply | None:
        """Why this account cannot go on from there: it does not have what the question builds on."""
        previous, conversation = question.previous_response_id, question.conversation_id
        if previous is not None and conversation is not None:
            return two_pasts()
        if previous is not None and self._denies(previous):
            return unknown_previous_response(previous)
        if conversation is not None and not self._conversations.knows(conversation):
            return unknown("Conversation", conversation)
        for item in question.input_items():
            content = item.get("encrypted_content")
            if isinstance(content, str):
                if not is_own_encrypted_content(content, self._account):
                    return foreign_encrypted_content(content)
            elif item.get("type") in ("item_reference", "reasoning") and not self._knows_item(str(item.get("id"))):
                return unknown_item(str(item.get("id")))
        return None

    def create(self, question: ResponsesQuestion, turn: Turn, now_s: float, how: ProviderSettings) -> Reply:
        """POST responses that nothing speaks against. A background response is queued, and done as late as it would be
        if somebody waited for it."""
        draft = make_draft(question, turn, self._account)
        took_s = how.latency_s + len(draft.content.pieces) / (how.tokens_per_second or float("inf"))
        stored = _Stored(draft, now_s + took_s if question.background else now_s, how.denials)
        if question.store is not False:
            self._keep(stored)
        if question.conversation_id is not None:
            said = [*question.input_items(), *output_items(draft)]
            self._conversations.append(question.conversation_id, said)
        if question.stream:
            return response_stream_reply(draft)
        return json_reply(200, stored.as_object(now_s), works=not question.background)

    def _denies(self, response_id: str) -> bool:
        stored = self._stored.get(response_id)
        if stored is None:
            return True
        denied = stored.denials > 0
        stored.denials -= denied
        return denied

    def _knows_item(self, item_id: str) -> bool:
        """Is it in the output or the input of a response, or in a conversation?"""
        unique = item_id.partition("_")[2]
        kept = f"resp_{unique}" in self._stored or f"resp_{unique[:-2]}" in self._stored
        return kept or self._conversations.knows_item(item_id)

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
            return unknown("Response", route.resource_id)
        if route.query.get("stream") == ["true"]:
            after = route.query.get("starting_after", ["-1"])[0]
            return response_stream_reply(stored.draft, int(after) if after.lstrip("-").isdigit() else -1)
        return json_reply(200, stored.as_object(now_s))

    def delete(self, response_id: str) -> Reply:
        stored = self._stored.pop(response_id, None)
        if stored is None:
            return unknown("Response", response_id)
        self._bytes -= stored.draft.turn.body_bytes
        return json_reply(200, {"id": response_id, "object": "response", "deleted": True})

    def cancel(self, response_id: str, now_s: float) -> Reply:
        """POST responses/{id}/cancel: only a background response can be; cancelling twice is the same as once."""
        stored = self._stored.get(response_id)
        if stored is None:
            return unknown("Response", response_id)
        if not stored.draft.question.background:
            return not_cancellable()
        stored.is_cancelled = stored.is_cancelled or now_s < stored.ready_s
        return json_reply(200, stored.as_object(now_s))

    def input_items(self, route: Route) -> Reply:
        stored = self._stored.get(route.resource_id)
        if stored is None:
            return unknown("Response", route.resource_id)
        items = [
            shown(item, f"{stored.draft.turn.unique}{index:02x}")
            for index, item in enumerate(stored.draft.question.input_items())
        ]
        return json_reply(200, page(items, route.query))
