"""What the providers' errors mean: status, code and words of OpenAI and Azure OpenAI to a kind of failure.

Sources are the providers' error guides and public threads; the 59 captures in `tests/data/upstream_errors.json` name
theirs. The code speaks before the type, because the type of money errors stayed `insufficient_quota` while the codes
multiplied, and because gateways give refusals and outages of other providers one and the same type. An error inside a
200 has no status but the one that it names itself; what nothing is known of is UNKNOWN, and blamed on nobody.
"""

import re
import time

from adapters.upstreams.openai.errors import error_codes as codes
from adapters.upstreams.openai.errors.error_fields import ErrorFields
from adapters.upstreams.openai.errors.refusals import (
    KEY_HINT,
    MISSING_HINT,
    NOT_IMPLEMENTED,
    OF_REQUESTS,
    VAGUE,
    refused,
)
from adapters.upstreams.openai.errors.retry_delay import delay_in_words_s
from domain.failure import Failure, FailureKind

DELAYED = (429, 503, 529)
"""Statuses under which a delay is read."""
_RIGHTS_HINT = "the key or identity lacks rights here (role, network rule or region)"
_MONEY_HINT = "the account behind this key is out of money or at its spend limit"
_REDIRECT_HINT = "the endpoint redirects, which is never followed: check base_url"

# The subject of the sentence is what holds or lacks a right: a key, an account, a network. A prompt never is.
_NO_RIGHTS = re.compile(
    r"access denied due to|access to .{0,60} denied|(?:public|network) access|virtual network|firewall|private endpoint"
    r"|(?:not|un)[- ]?(?:allowed|authorized|permitted|supported) (?:in|from) your (?:country|region|location|network)"
    r"|country, region|region,? (?:or territory )?(?:is )?not supported|ip address"
    r"|lacks? the required|insufficient (?:permission|auth)|missing scopes?|verified to use"
    r"|do(?:es)? not have (?:access|permission)|\bno (?:access|permission|rights?)\b"
    r"|not authorized to|is not allowed to (?:sample|access|use)"
    r"|(?:key|token|credentials?|account|organi[sz]ation|project|subscription|resource|principal|identity|user)\b"
    r"[^.;]{0,60}\b(?:invalid|expired|revoked|missing|required|disabled|deactivated|suspended|blocked|archived|denied"
    r"|terminated|restricted|not (?:valid|active|found|allowed|authorized|permitted|enabled|exist)|limit exceeded)"
    r"|(?:invalid|incorrect|expired|revoked|missing|unknown|wrong|no) (?:api[- ]?key|key|token|credential|subscription"
    r"|organi[sz]ation|project)"
)
_OF_PROMPTS = re.compile(
    r"\b(?:prompts?|inputs?|messages?|contents?|conversations?|completions?|safety|moderation|guardrails?)\b"
)
"""Where one of these is spoken of first, a user or a project that is named after it is not what is refused."""
_TOO_DEAR = ("fewer max_tokens", "can only afford")
_DISOWNING = (401, 403, 405)  # what an account says to a credential or an id that it does not know
_OUT_OF_MONEY = re.compile(r"balance|credit|quota|billing|payment|funds|spend|budget|top up|recharge|arrears|overdue")


def classify(status: int, words: ErrorFields, *, owns_credential: bool, retry_after_s: float | None = None) -> Failure:
    """What an error reply means. `owns_credential` False = it was earned by the client's own key."""
    kind, hint = _kind(status, words, owns_credential)
    if status == 529 and retry_after_s:  # Anthropic's for nothing but overload
        kind = FailureKind.OVERLOADED
    shown = words.label if words.label != str(status) else ""
    return Failure(kind, f"{status} {shown}".strip(), status >= 400, retry_after_s, hint, status in _DISOWNING)


def classify_in_stream(words: ErrorFields, *, owns_credential: bool) -> Failure:
    """What an error inside a 200 means: as the status would that it names, or that goes with its words."""
    status = _implied_status(words)
    if not status:
        return Failure(FailureKind.UNKNOWN, f"error in a 200: {words.label}".rstrip(" :"))
    delay_s = delay_in_words_s(words, time.time()) if status in DELAYED else None
    failure = classify(status, words, owns_credential=owns_credential, retry_after_s=delay_s)
    return Failure(failure.kind, f"error in a 200: {failure.reason}", False, delay_s, failure.hint)


_IMPLIED = (
    (codes.MONEY | codes.LIMITED, 429),
    (codes.OVERLOADED, 503),
    (codes.BAD_KEY, 401),
    (codes.NO_RIGHTS, 403),
    (codes.MISSING | codes.NOT_FOUND, 404),
    (codes.STATE, 400),
    (codes.CONFLICT, 409),
    (codes.TIMED_OUT, 408),
    (codes.BROKEN, 500),
)


def _implied_status(words: ErrorFields) -> int:
    """0 = nothing tells. A number before any word, and the code before the type. An endpoint that has begun to answer
    had room for the body, so its 413 is about the request; a limit's is not."""
    if words.status == 413 and not words.any_of(codes.LIMITED):
        return 400
    if words.status >= 400:
        return words.status
    for name in words.names:
        for known, status in _IMPLIED:
            if name in known:
                return status
        if codes.is_about_request((name,)):
            return 400
    return 0


def _kind(status: int, words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    if status == 401:
        return _refused_key(words, owns_credential)
    if status == 403:
        return _forbidden(words, owns_credential)
    if status in (402, 429) or (status < 500 and words.any_of(codes.MONEY)):
        return _limited(status, words, owns_credential)
    if status == 408:
        return FailureKind.REQUEST_TIMEOUT, None
    if status == 409:
        return FailureKind.CONFLICT, None
    if status >= 500 and status != NOT_IMPLEMENTED:
        return _broken(status, words), None
    if 300 <= status < 400:
        return FailureKind.MISCONFIGURED, _REDIRECT_HINT
    return refused(status, words, owns_credential)


def _refused_key(words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    if not owns_credential:
        return FailureKind.CLIENT, None
    if words.any_of(codes.BAD_KEY) or "subscription key" in words.message:
        return FailureKind.KEY, KEY_HINT
    return FailureKind.AUTH, _RIGHTS_HINT


def _forbidden(words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    """Many gateways forbid a prompt with the status that others forbid a key with: only the words can tell."""
    if not owns_credential:
        return FailureKind.CLIENT, None
    if words.any_of(codes.MONEY):
        return FailureKind.MONEY, _MONEY_HINT
    if words.any_of(codes.MISSING):
        return FailureKind.NOT_FOUND, MISSING_HINT
    if words.any_of(codes.BAD_KEY):
        return FailureKind.KEY, KEY_HINT
    if words.any_of(codes.NO_RIGHTS):
        return FailureKind.AUTH, _RIGHTS_HINT
    if codes.is_about_request(tuple(name for name in words.names if name not in VAGUE)):
        return FailureKind.CLIENT, None
    said = words.said
    lacks = _NO_RIGHTS.search(said)
    if lacks and not _OF_PROMPTS.search(said, 0, lacks.end()):
        return FailureKind.AUTH, _RIGHTS_HINT
    return FailureKind.UNKNOWN, None


def _limited(status: int, words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    if status == 402 and not words.any_of(codes.MONEY):
        said = words.said
        if any(part in said for part in _TOO_DEAR):
            return FailureKind.OVER_LIMIT, None
        if owns_credential and not _OUT_OF_MONEY.search(said):
            return FailureKind.UNKNOWN, None
    if status == 402 or words.any_of(codes.MONEY):
        return (FailureKind.MONEY, _MONEY_HINT) if owns_credential else (FailureKind.CLIENT, None)
    if words.message.startswith("Request too large"):
        return FailureKind.OVER_LIMIT, None
    if words.code in ("flex_unavailable", "resource_unavailable"):
        return FailureKind.UNSERVABLE, None
    return FailureKind.RATE_LIMITED, None


def _broken(status: int, words: ErrorFields) -> FailureKind:
    """A 5xx is the endpoint's, unless its words plainly speak of the request; where both may be, it is unknown."""
    names = words.names
    if status == 503 and words.any_of(codes.OVERLOADED):
        return FailureKind.OVERLOADED
    for name in names:
        if name in codes.BROKEN:
            return FailureKind.SERVER_ERROR
        if name not in VAGUE and codes.is_about_request((name,)):
            return FailureKind.CLIENT
    is_vague = not VAGUE.isdisjoint(names) or words.status in OF_REQUESTS
    return FailureKind.UNKNOWN if is_vague else FailureKind.SERVER_ERROR
