"""The conversations a provider remembers, with their items. Each provider has its own."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from simulator.content.items import shown
from simulator.content.questions import ThingsQuestion
from simulator.protocol.errors import unknown
from simulator.protocol.listing import page
from simulator.protocol.reply import Reply, json_reply
from simulator.protocol.routes import Route

MAX_CONVERSATIONS = 10_000


class _Conversation(Struct):
    id: str
    created_s: int
    metadata: dict[str, Any]
    items: dict[str, dict[str, Any]]

    def as_object(self) -> dict[str, Any]:
        return {"id": self.id, "object": "conversation", "created_at": self.created_s, "metadata": self.metadata}


class ConversationStore:
    """Creates conversations and answers everything that names one. Keeps the last, bounded by count."""

    def __init__(self, unique: Callable[[], str]) -> None:
        """`unique` makes the ids, without their prefix."""
        self._unique = unique
        self._kept: OrderedDict[str, _Conversation] = OrderedDict()

    def knows(self, conversation_id: str) -> bool:
        return conversation_id in self._kept

    def knows_item(self, item_id: str) -> bool:
        return any(item_id in conversation.items for conversation in self._kept.values())

    def create(self, question: ThingsQuestion, now_unix_s: float) -> Reply:
        conversation = _Conversation(f"conv_{self._unique()}", int(now_unix_s), question.metadata or {}, {})
        self._kept[conversation.id] = conversation
        self.append(conversation.id, question.items or ())
        if len(self._kept) > MAX_CONVERSATIONS:
            self._kept.popitem(last=False)
        return json_reply(200, conversation.as_object())

    def append(self, conversation_id: str, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What has been said in it, oldest first; returns it as it is kept. Items that have an id keep it."""
        added = [shown(item, self._unique()) for item in items]
        self._kept[conversation_id].items.update((item["id"], item) for item in added)
        return added

    def answer(self, method: str, route: Route, question: ThingsQuestion) -> Reply:
        """Everything below `conversations/{id}`."""
        conversation = self._kept.get(route.resource_id)
        if conversation is None:
            return unknown("Conversation", route.resource_id)
        match method, route.operation:
            case "GET", "conversation_items":
                return json_reply(200, page(list(conversation.items.values()), route.query))
            case "POST", "conversation_items":
                added = self.append(conversation.id, question.items or ())
                return json_reply(200, page(added, {"limit": [str(len(added))]}, order="asc"))
            case _, "conversation_item":
                return self._item(method, conversation, route.item_id)
            case "DELETE", _:
                del self._kept[conversation.id]
                deleted = {"id": conversation.id, "object": "conversation.deleted", "deleted": True}
                return json_reply(200, deleted)
            case "POST", _:
                conversation.metadata = question.metadata or {}
        return json_reply(200, conversation.as_object())

    @staticmethod
    def _item(method: str, conversation: _Conversation, item_id: str) -> Reply:
        item = conversation.items.get(item_id)
        if item is None:
            return unknown("Item", item_id)
        if method == "GET":
            return json_reply(200, item)
        del conversation.items[item_id]
        return json_reply(200, conversation.as_object())
