"""The chat completions a provider was asked to store (`store: true`)."""

from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Struct

from simulator.content.questions import ChatQuestion, ThingsQuestion
from simulator.protocol.errors import unknown
from simulator.protocol.listing import page
from simulator.protocol.reply import Reply, json_reply
from simulator.protocol.routes import Route

MAX_COMPLETIONS = 10_000


class _Stored(Struct):
    completion: dict[str, Any]
    messages: list[dict[str, Any]]


class CompletionStore:
    """Answers everything that names a stored completion. Keeps the last, bounded by count."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Stored] = OrderedDict()

    def keep(self, question: ChatQuestion, whole: Reply) -> None:
        """`whole` is the completion as a reply that is no stream."""
        completion = msgspec.json.decode(whole.body)
        messages = msgspec.json.decode(question.messages)
        shown = [
            {**message, "id": f"{completion['id']}-{index}"}
            for index, message in enumerate(messages)
            if isinstance(message, dict)
        ]
        self._kept[completion["id"]] = _Stored({**completion, "metadata": question.metadata or {}}, shown)
        if len(self._kept) > MAX_COMPLETIONS:
            self._kept.popitem(last=False)

    def list(self, route: Route) -> Reply:
        """Those of one `model`, if the query names one."""
        model = route.query.get("model", [""])[0]
        kept = [stored.completion for stored in self._kept.values() if model in ("", stored.completion["model"])]
        return json_reply(200, page(kept, route.query, order="asc"))

    def answer(self, method: str, route: Route, question: ThingsQuestion) -> Reply:
        """Everything below `chat/completions/{id}`."""
        stored = self._kept.get(route.resource_id)
        if stored is None:
            return unknown("Chat completion", route.resource_id)
        if route.operation == "stored_completion_messages":
            return json_reply(200, page(stored.messages, route.query, order="asc"))
        if method == "DELETE":
            del self._kept[route.resource_id]
            return json_reply(200, {"id": route.resource_id, "object": "chat.completion.deleted", "deleted": True})
        if method == "POST":
            stored.completion["metadata"] = question.metadata or {}
        return json_reply(200, stored.completion)
