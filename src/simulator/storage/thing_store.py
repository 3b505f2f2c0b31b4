"""Keeps things by the path they stand under: made, listed, shown, changed, deleted, and what else is done to them."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from simulator.protocol.errors import invalid_parameter, missing_parameter, not_json, unknown
from simulator.protocol.listing import page
from simulator.protocol.reply import Reply, json_reply
from simulator.protocol.routes import Route
from simulator.protocol.thing_families import ENDS_AS, FAMILIES, Place, place_of
from simulator.storage.file_store import FileStore, form_parts

_KEPT = 10_000
_RESULTS = {"object": "vector_store.search_results.page", "search_query": [], "data": [], "has_more": False}

Thing = dict[str, Any]


class ThingStore:
    """One account's. The last `_KEPT` things are kept, whatever they are."""

    def __init__(self, unique: Callable[[], str], files: FileStore) -> None:
        """`unique` makes ids, without their prefix. `files` takes what uploads come to."""
        self._unique = unique
        self._files = files
        self._kept: OrderedDict[tuple[str, ...], Thing] = OrderedDict()
        """By shelf and id."""
        self._parts: dict[str, bytes] = {}
        """The contents of the parts of uploads."""

    def answer(self, method: str, route: Route, content_type: str, body: bytes, now_unix_s: float) -> Reply:
        """Everything that is asked about things. `body` is JSON or a form."""
        place = place_of(route.parts)
        if place is None:
            return unknown("Thing", route.path)
        missing = self._missing(place)
        if missing is not None:
            return missing
        said = _said(content_type, body)
        if said is None:
            return not_json()
        if "id" in said:
            return invalid_parameter("id", "it is not yours to choose")
        mistake = _mistake(said)
        if mistake is not None:
            return mistake
        now_s = int(now_unix_s)
        if place.action:
            return self._act(method, place, said, route, now_s)
        if place.thing_id:
            return self._one(method, place, said)
        if method == "POST":
            return json_reply(200, self._make(place, said, now_s))
        return json_reply(200, page(self._on(place.shelf), route.query))

    def _missing(self, place: Place) -> Reply | None:
        """A refusal, if what it is about, or stands below, does not exist."""
        path = (*place.shelf, place.thing_id) if place.thing_id else place.shelf
        for length in range(2, len(path) + 1):
            above = place_of(path[:length])
            if above is not None and above.thing_id and not above.action and path[:length] not in self._kept:
                return unknown(above.family.kind, above.thing_id)
        return None

    def _on(self, shelf: tuple[str, ...]) -> list[Thing]:
        return [thing for path, thing in self._kept.items() if path[:-1] == shelf]

    def _make(self, place: Place, said: Thing, now_s: int) -> Thing:
        family, shelf = place.family, place.shelf
        thing: Thing = {"id": family.prefix + self._unique(), "object": family.kind, "created_at": now_s, **family.has}
        parent = shelf[-2] if len(shelf) > 2 and shelf[-1] in _CHILDREN else ""
        if parent:
            thing[f"{_SINGULAR[shelf[-3]]}_id"] = parent
        content = next((value for value in said.values() if isinstance(value, bytes)), b"")
        thing |= {name: value for name, value in said.items() if not isinstance(value, bytes)}
        if family.kind == "vector_store.file":
            thing["id"] = said.get("file_id") or thing["id"]
        if family.kind == "upload.part":
            self._parts[thing["id"]] = content
        self._kept[*shelf, thing["id"]] = thing
        if family.kind == "thread":
            for message in thing.pop("messages", None) or ():
                self._below(("threads", thing["id"], "messages"), message, now_s)
        elif family.kind == "thread.message":
            thing["content"] = _as_parts(thing.get("content"))
        elif family.kind == "thread.run":
            self._below(("threads", parent, "messages"), {"role": "assistant", "content": "It is done."}, now_s)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return thing

    def _below(self, shelf: tuple[str, ...], said: Thing, now_s: int) -> None:
        place = place_of(shelf)
        if place is not None:
            self._make(place, dict(said), now_s)

    def _one(self, method: str, place: Place, said: Thing) -> Reply:
        path = (*place.shelf, place.thing_id)
        if method == "DELETE":
            kind = self._kept.pop(path)["object"]
            return json_reply(200, {"id": place.thing_id, "object": f"{kind}.deleted", "deleted": True})
        if method == "POST":
            self._kept[path] |= said
        return json_reply(200, self._kept[path])

    def _act(self, method: str, place: Place, said: Thing, route: Route, now_s: int) -> Reply:
        thing = self._kept[*place.shelf, place.thing_id]
        if method == "GET":  # of what is not kept here there is none
            return json_reply(200, page([], route.query))
        if place.action == "search":
            return json_reply(200, {**_RESULTS, "search_query": [said.get("query", "")], "next_page": None})
        if place.action == "complete":
            ids = said.get("part_ids") or []
            if not all(part in self._parts for part in ids):
                return missing_parameter("part_ids")
            content = b"".join(self._parts.pop(part) for part in ids)
            thing["file"] = self._files.keep(thing.get("filename") or "", content, thing.get("purpose") or "", now_s)
        if place.action in ENDS_AS:
            thing["status"] = ENDS_AS[place.action]
        return json_reply(200, thing)


_ACTED_ON: dict[str, Any] = {
    "messages": list[dict[str, Any]] | None,
    "part_ids": list[str] | None,
    "file_id": str | None,
    "filename": str | None,
    "purpose": str | None,
}
"""Fields that more is done with than that they are kept."""
_CHILDREN = frozenset(path[-1] for path in FAMILIES if len(path) > 2)
_SINGULAR = {
    "containers": "container", "evals": "eval", "runs": "run", "threads": "thread", "uploads": "upload",
    "vector_stores": "vector_store",
}  # fmt: skip


def _said(content_type: str, body: bytes) -> Thing | None:
    """The fields of a body; None = it is no JSON object."""
    if content_type.startswith("multipart/"):
        parts = form_parts(content_type, body)
        return {
            name: content if file or name == "data" else content.decode("utf-8", "replace")
            for name, (file, content) in parts.items()
        }
    try:
        return msgspec.json.decode(body, type=Thing) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _mistake(said: Thing) -> Reply | None:
    """A refusal of a field that nothing can be done with."""
    for name in said.keys() & _ACTED_ON.keys():
        try:
            msgspec.convert(said[name], _ACTED_ON[name])
        except msgspec.ValidationError as error:
            return invalid_parameter(name, str(error))
    return None


def _as_parts(content: Any) -> Any:
    """The content of a message, as it is shown."""
    if not isinstance(content, str):
        return content or []
    return [{"type": "text", "text": {"value": content, "annotations": []}}]
