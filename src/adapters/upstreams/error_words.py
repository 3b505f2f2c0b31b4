"""What an error of a provider says: its code, its type, its message, its status, in whatever shape they come."""

import re
from typing import Any

from msgspec import Struct

_SAFE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_NOT_A_LETTER = re.compile(r"[^a-z0-9]")
_STATUS = re.compile(r"[3-5][0-9]{2}(?:\.0+)?")
STATUS_FIELDS = ("status", "status_code", "statusCode", "http_status", "http_status_code")
_MAX_WORD = 100
"""Characters of a code that are looked at: a longer one is a sentence."""


class ErrorWords(Struct, frozen=True):
    """What an error body says; empty = nothing of that name."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""
    status: int = 0
    """The HTTP status that the error itself names, as some gateways do under another one; 0 = none."""

    @classmethod
    def of(cls, error: Any) -> "ErrorWords":
        """From the `error` value of a body, in whatever shape: an object, a string, a list of one, or none."""
        if isinstance(error, list) and len(error) == 1:
            error = error[0]
        if isinstance(error, str):
            return cls(message=error)
        if not isinstance(error, dict):
            return cls()
        inner = error.get("innererror")
        code = _text(error.get("code")) or _text(inner.get("code") if isinstance(inner, dict) else None)
        kind = _text(error.get("type"))
        named = [error.get(field) for field in STATUS_FIELDS]
        if not kind:  # Google's: {"code": 400, "status": "INVALID_ARGUMENT"}
            kind = next((word for word in named if isinstance(word, str) and not _STATUS.fullmatch(word)), "")
        status = next(filter(None, map(_status, (code, *named, kind))), 0)
        return cls(code, kind, _text(error.get("message")), _text(error.get("param")), status)

    @property
    def label(self) -> str:
        """The code, else the type, if it is one plain word: what may be shown in logs and messages."""
        for word in (self.code, self.type):
            if _SAFE.fullmatch(word):
                return word
        return ""

    @property
    def names(self) -> tuple[str, ...]:
        """The code, then the type, in lower case and without what is written between their words, so that
        `BadRequestError` and `bad_request_error` are one; those that are numbers left out."""
        return tuple(name for word in (self.code, self.type) if (name := plain(word)) and not name.isdecimal())

    def any_of(self, known: frozenset[str]) -> bool:
        """Is the code or the type one of these? They are as `names` gives them."""
        return any(name in known for name in self.names)


def plain(word: str) -> str:
    """One spelling for all spellings of a word; empty = it is too long for one."""
    return _NOT_A_LETTER.sub("", word.lower()) if len(word) <= _MAX_WORD else ""


def _status(value: Any) -> int:
    text = _text(value)
    return int(float(text)) if _STATUS.fullmatch(text) else 0


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
