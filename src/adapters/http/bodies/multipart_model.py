"""Finds the field `model` at the beginning of a multipart form (RFC 7578), and can put another name there.

Only as much of the form is understood as that takes, and only in its plain form. What looks odd is not guessed at: the
form then names no model for us, and goes on as it is.
"""

import re

from msgspec import Struct

PEEKED_BYTES = 64 * 1024
"""How far into a form the field is looked for: SDKs send fields before files, browsers in the order of the form."""

_MAX_NAME_BYTES = 256
_MAX_FIELDS_BYTES = 16 * 1024  # headers of one part that are looked through: they are short
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))\s*(?:;|$)', re.IGNORECASE)
_FIELD = re.compile(rb'^form-data\s*;\s*name=(?:"model"|model)\s*$', re.IGNORECASE)


class ModelField(Struct, frozen=True):
    """Where a form names its model."""

    name: str
    begin: int  # index of the name's first byte
    end: int  # index after its last

    def renamed(self, head: bytes, model: str) -> bytes:
        """The beginning of the form with another name in it; unchanged where that could not stand in a form."""
        if model == self.name or "\r" in model or "\n" in model:
            return head
        return b"".join((head[: self.begin], model.encode(), head[self.end :]))


def boundary_of(content_type: bytes) -> bytes | None:
    """What separates the fields of a form; None = this is no form, or not a plain one."""
    media_type = content_type.partition(b";")[0].strip().lower()
    found = _BOUNDARY.search(content_type) if media_type == b"multipart/form-data" else None
    return (found[1] or found[2]) if found is not None else None


def find_model(head: bytes, boundary: bytes) -> ModelField | None:
    """The first field `model` that is whole in `head`, the beginning of a form; None = there is none (yet)."""
    place = _place_of_name(head, boundary)
    if place is None:
        return None
    value = head[slice(*place)]
    try:
        name = value.decode()
    except UnicodeDecodeError:
        return None
    if not name or len(value) > _MAX_NAME_BYTES or not name.isprintable():
        return None
    return ModelField(name, *place)


def is_name_broken(head: bytes, boundary: bytes) -> bool:
    """Is there a field `model` that is no text, as it is not UTF-8?"""
    place = _place_of_name(head, boundary)
    try:
        head[slice(*place or (0, 0))].decode()
    except UnicodeDecodeError:
        return True
    return False


def _place_of_name(head: bytes, boundary: bytes) -> tuple[int, int] | None:
    """Where the first field `model` begins and ends."""
    delimiter = b"\r\n--" + boundary
    preamble = -2 if head.startswith(delimiter[2:]) else head.find(delimiter)
    if preamble == -1:
        return None
    at = preamble + len(delimiter)
    while True:
        line_end = head.find(b"\r\n", at)
        if line_end < 0 or head[at:line_end].strip(b" \t"):
            return None  # cut here, the end of the form, or not a delimiter at all
        fields_end = head.find(b"\r\n\r\n", line_end)
        begin = fields_end + 4
        end = head.find(delimiter, begin)
        if fields_end < 0 or end < 0:
            return None
        if fields_end - line_end <= _MAX_FIELDS_BYTES and _names_model(head[line_end:fields_end]):
            return begin, end
        at = end + len(delimiter)


def _names_model(fields: bytes) -> bool:
    for line in fields.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            return _FIELD.match(value.strip()) is not None
    return False
