"""What an error of a provider says: its code, its type, its message, its status, in whatever shape they come."""

import re
from typing import Any

from msgspec import Struct, structs

_SAFE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_NOT_A_LETTER = re.compile(r"[^a-z0-9]")
_STATUS = re.compile(r"[3-5][0-9]{2}(?:\.0+)?")
STATUS_FIELDS = ("status", "status_code", "statusCode", "http_status", "http_status_code")
_MAX_WORD = 100  # characters of a code that are looked at: a longer one is a sentence
_WRAPPINGS = ("error", "errors", "detail", "message")  # hold the error of somebody further up, where there is no code
_MAX_WRAPPINGS = 4
_NO_KIND = ("error", "response.failed")  # types of events, which say nothing of the error
_CODE_WITH_WORDS = re.compile(r"[A-Za-z]+(?:_[A-Za-z0-9]+)+")  # where a sentence is expected, as for `error`
_READ_OF_MESSAGE = 300  # characters of a message in which words are looked for: what comes later may be anybody's
_SEARCHED = 16 * 1024  # characters in which quotes are looked for
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")  # what is quoted is the request's, and says nothing


class ErrorFields(Struct, frozen=True):
    """What an error body says; empty = nothing of that name."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""
    status: int = 0  # the HTTP status that the error itself names, as some gateways do under another one; 0 = none
    retry_delay: str = ""  # for how long not to ask again: Google's `RetryInfo` (google/rpc/error_details.proto)
    reset: str = ""  # `X-RateLimit-Reset` of the provider that a gateway asked (OpenRouter's `metadata.headers`)

    @classmethod
    def of(cls, error: Any) -> "ErrorFields":
        """From the `error` value of a body in whatever shape: object, string, list, wrapped once more, or none."""
        error = _unwrapped(error)
        if isinstance(error, str):
            return cls(code=error if _CODE_WITH_WORDS.fullmatch(error) else "", message=error)
        if not isinstance(error, dict):
            return cls()
        inner = error.get("innererror")
        code = _text(error.get("code")) or _text(inner.get("code") if isinstance(inner, dict) else None)
        kind = _text(error.get("type")) if error.get("type") not in _NO_KIND else ""
        named = [error.get(field) for field in STATUS_FIELDS]
        if not kind:  # Google's: {"code": 400, "status": "INVALID_ARGUMENT"}
            kind = next((word for word in named if isinstance(word, str) and not _STATUS.fullmatch(word)), "")
        status = next(filter(None, map(_status, (code, *named, kind))), 0)
        message, param = _text(error.get("message")), _text(error.get("param"))
        return cls(code, kind, message, param, status, _retry_delay(error), _reset(error))

    @classmethod
    def of_body(cls, body: Any) -> "ErrorFields":
        """From a whole error body or the data of an error event: OpenAI's `error`, that of a failed Response, Google's
        list of one, the flat bodies of Azure's API management, FastAPI's `detail`, and what is text alone."""
        if isinstance(body, list) and body:
            body = body[0]
        if not isinstance(body, dict):
            return cls.of(body)
        response = body.get("response")
        error = body.get("error") or (response.get("error") if isinstance(response, dict) else None)
        if error and not isinstance(error, str):
            return cls.of(error)
        said = next((body[name] for name in ("message", "detail", "title") if isinstance(body.get(name), str)), "")
        beside = cls.of({**body, "error": None, "message": said or body.get("message")})
        if not error:
            return beside
        words = cls.of(error)
        return structs.replace(beside, code=beside.code or words.code, message=beside.message or words.message)

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

    @property
    def said(self) -> str:
        """The beginning of the message, in lower case and without what it quotes."""
        return _QUOTED.sub("", self.message[:_SEARCHED])[:_READ_OF_MESSAGE].lower().strip()

    def any_of(self, known: frozenset[str]) -> bool:
        return any(name in known for name in self.names)


def plain(word: str) -> str:
    """One spelling for all spellings of a word, a class without its module; empty = it is too long for one."""
    return _NOT_A_LETTER.sub("", word.rpartition(".")[2].lower()) if len(word) <= _MAX_WORD else ""


def _unwrapped(error: Any) -> Any:
    """The error that says something of its own: the first of a list, and what others have wrapped."""
    for _ in range(_MAX_WRAPPINGS):
        if isinstance(error, list) and error:
            error = error[0]
            continue
        if not isinstance(error, dict) or _text(error.get("code")):
            break
        names_a_kind = _text(error.get("type")) and error["type"] not in _NO_KIND
        inner = [each for name in _WRAPPINGS if isinstance(each := error.get(name), dict | list) and each]
        if names_a_kind or not inner:
            break
        error = inner[0]
    return error


def _retry_delay(error: dict[str, Any]) -> str:
    details = error.get("details")
    found = (d.get("retryDelay") for d in (details if isinstance(details, list) else ()) if isinstance(d, dict))
    return next((delay for delay in found if isinstance(delay, str)), "")


def _reset(error: dict[str, Any]) -> str:
    metadata = error.get("metadata")
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    return _text(headers.get("X-RateLimit-Reset")) if isinstance(headers, dict) else ""


def _status(value: Any) -> int:
    text = _text(value)
    return int(float(text)) if _STATUS.fullmatch(text) else 0


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
