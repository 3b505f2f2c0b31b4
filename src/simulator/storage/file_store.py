"""Uploaded files: multipart in, JSON about them and their bytes out."""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from simulator.protocol.errors import missing_parameter, unknown
from simulator.protocol.listing import page
from simulator.protocol.reply import Reply, header_lines, json_reply
from simulator.protocol.routes import Route

MAX_BYTES = 512 * 1024 * 1024

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_NAME = re.compile(rb'[; ]name="([^"]*)"')
_FILE_NAME = re.compile(rb'filename="([^"]*)"')


class _File(Struct):
    about: dict[str, Any]
    content: bytes


class FileStore:
    """Keeps the last files, bounded by their bytes."""

    def __init__(self, unique: Callable[[], str]) -> None:
        """`unique` makes the ids, without their prefix."""
        self._unique = unique
        self._kept: OrderedDict[str, _File] = OrderedDict()
        self._bytes = 0

    def create(self, content_type: str, body: bytes, now_unix_s: float) -> Reply:
        """POST files, as multipart/form-data (RFC 7578)."""
        parts = form_parts(content_type, body)
        if "file" not in parts:
            return missing_parameter("file")
        name, content = parts["file"]
        purpose = parts.get("purpose", ("", b"assistants"))[1].decode("utf-8", "replace")
        return json_reply(200, self.keep(name, content, purpose, int(now_unix_s)))

    def keep(self, name: str, content: bytes, purpose: str, now_s: int) -> dict[str, Any]:
        """Keeps a file; what there is to say about it."""
        file_id = f"file-{self._unique()}"
        about = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": now_s,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self._kept[file_id] = _File(about, content)
        self._bytes += len(content)
        while self._bytes > MAX_BYTES and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))
        return about

    def list(self, route: Route) -> Reply:
        return json_reply(200, page([file.about for file in self._kept.values()], route.query))

    def answer(self, method: str, route: Route) -> Reply:
        """Everything below `files/{id}`."""
        file = self._kept.get(route.resource_id)
        if file is None:
            return unknown("File", route.resource_id)
        if route.operation == "file_content":
            named = header_lines({"content-disposition": f'attachment; filename="{file.about["filename"]}"'})
            return Reply(200, file.content, b"application/octet-stream", named)
        if method == "DELETE":
            self._forget(route.resource_id)
            return json_reply(200, {"id": route.resource_id, "object": "file", "deleted": True})
        return json_reply(200, file.about)

    def _forget(self, file_id: str) -> None:
        self._bytes -= len(self._kept.pop(file_id).content)


def form_parts(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """Field name -> file name (empty for a plain field) and content. Empty for what is no multipart body."""
    boundary = _BOUNDARY.search(content_type)
    parts: dict[str, tuple[str, bytes]] = {}
    if boundary is None:
        return parts
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:-1]:
        top, _, content = part.partition(b"\r\n\r\n")
        name, file_name = _NAME.search(top), _FILE_NAME.search(top)
        if name is not None:
            file = file_name[1].decode("utf-8", "replace") if file_name else ""
            parts[name[1].decode("utf-8", "replace")] = (file, content)
    return parts


def fields_as_json(parts: dict[str, tuple[str, bytes]]) -> bytes:
    """The plain fields of a form, as an object of texts."""
    return msgspec.json.encode(
        {name: value.decode("utf-8", "replace") for name, (file, value) in parts.items() if not file}
    )
