"""Reads the fields of a multipart form (RFC 7578), for where it matters whose things they name.

A form that is not written plainly is refused: a provider might read it in another way.
"""

import re
from typing import NoReturn

from application.errors import InvalidRequest

MAX_FIELDS = 256
MAX_FIELD_BYTES = 1024 * 1024
_MAX_HEAD_BYTES = 4096

_PART = re.compile(
    rb'form-data; ?name=("?)([A-Za-z0-9_.\-]{1,64}(?:\[[A-Za-z0-9_.\-]{0,64}\]){0,4})\1(; ?filename(?:\*)?=[^\r\n]*)?'
)

_WITHOUT_REFERENCES = frozenset({
    "/files", "/audio/transcriptions", "/audio/translations", "/images/edits", "/images/variations",
})  # fmt: skip
_PARTS_OF_UPLOADS = re.compile(r"/uploads/[^/]+/parts")


def names_nothing(path: str) -> bool:
    """Are its forms files, and what to do with them, and nothing that is kept already (OpenAI API reference)? Then they
    need not be read, however large they are."""
    return path in _WITHOUT_REFERENCES or _PARTS_OF_UPLOADS.fullmatch(path) is not None


def form_fields(body: bytes, boundary: bytes) -> tuple[tuple[str, str], ...]:
    """Names and texts of the fields that are no files. Raises `InvalidRequest` for a form that is not plain."""
    delimiter = b"\r\n--" + boundary
    body = b"\r\n" + body
    # Some take CR or LF alone for the end of a line.
    if body.count(b"\n--" + boundary) + body.count(b"\r--" + boundary) != body.count(delimiter):
        _refuse()
    parts = body.split(delimiter, MAX_FIELDS + 2)
    if parts[0].strip() or len(parts) > MAX_FIELDS + 2 or parts[-1].rstrip(b"\r\n") != b"--":
        _refuse()
    return tuple(field for part in parts[1:-1] if (field := _field(part)) is not None)


def _field(part: bytes) -> tuple[str, str] | None:
    """None = it is a file."""
    head, blank, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not blank or not part.startswith(b"\r\n") or len(head) > _MAX_HEAD_BYTES:
        _refuse()
    dispositions = []
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or name != name.strip() or line.splitlines() != [line]:
            _refuse()
        if name.lower() == b"content-disposition":
            dispositions.append(value.strip())
        elif name.lower() != b"content-type":
            _refuse()  # such as content-transfer-encoding, which not everybody heeds
    plain = _PART.fullmatch(dispositions[0]) if len(dispositions) == 1 else None
    if plain is None:
        _refuse()
    if plain[3] is not None and not _refers(plain[2]):
        return None
    if len(content) > MAX_FIELD_BYTES:
        _refuse()
    try:
        return plain[2].decode(), content.decode()
    except UnicodeDecodeError:
        _refuse()


def _refers(name: bytes) -> bool:
    """Some take a field that is sent as a file for its text all the same."""
    return name.lower().rstrip(b"[]").endswith((b"id", b"ids"))


def _refuse() -> NoReturn:
    raise InvalidRequest(
        "The form is not plain enough to see whose the things are that it names (tenancy: key).", code="invalid_form"
    )
