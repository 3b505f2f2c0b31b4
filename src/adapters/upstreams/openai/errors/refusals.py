"""What an endpoint means that does not do what it was asked for, and neither key nor limit nor outage is why.

Mostly the request is wrong. But the model, the path or the API may be what this endpoint lacks, or the body larger than
it takes; and gateways give the outages of others a status of the request's.
"""

import re

from adapters.upstreams.openai.errors import error_codes as codes
from adapters.upstreams.openai.errors.error_fields import ErrorFields
from domain.failure import FailureKind

API_VERSION_HINT = "remove api-version from default_query: this endpoint's /v1 path does not take one"
KEY_HINT = "check api_key of this endpoint"
MISSING_HINT = "check model, base_url and azure_deployment of this endpoint"

VAGUE = frozenset({"invalidrequesterror", "invalidrequest", "badrequest", "badrequesterror", "badrequestexception"})
"""What some give to every error: under a status that says something else, it says nothing for sure."""
OF_REQUESTS = frozenset({400, 406, 411, 412, 413, 414, 415, 416, 417, 422, 431, 451})
"""Statuses that speak of the request. What is none of these (424, 425, 499 ...) only words can tell. Inside a 5xx they
say nothing for sure."""
NOT_IMPLEMENTED = 501
NOT_THERE_STATUSES = frozenset({404, 405, 410, NOT_IMPLEMENTED})
_OUTAGE = codes.BROKEN | codes.TIMED_OUT | codes.OVERLOADED | codes.LIMITED

_BAD_KEY_400 = re.compile(r"(?:incorrect |invalid )?api[- ]?key (?:not valid|provided|is invalid|expired)")
_NOT_THERE = re.compile(
    r"^(?:404:? *)?(?:page )?not found\b|^default backend|^no route\b|^method not allowed|^not implemented|^gone\b"
    r"|\b(?:model|deployment|resource|engine|url|path|route|page)\b[^.;]{0,80}"
    r"\b(?:not found|not exist|unknown|not available|not deployed|no longer|retired|deprecated)"
    r"|(?:unknown|invalid|unrecognized|no such|not found:?|cannot (?:post|get)) .{0,20}"
    r"\b(?:model|deployment|resource|url|path|route|/)"
    r"|^this server does not support\b"
)
_NO_SUCH_MODEL = re.compile(
    r"^(?:the |this )?(?:requested )?(?:model|deployment)\b[^.;,]{0,80}\b(?:not found|not exist)|\bnot a valid model\b"
    r"|^(?:invalid|unknown|unrecognized|no such) model(?: id| name)?\b(?! (?:input|output|parameter))"
)
_NOT_KEPT = re.compile(
    r"\bencrypted (?:[a-z]+ ){0,3}content\b.{0,250}\bcould not be (?:verified|decrypted)"
    r"|\bcreated under a different\b.{0,40}\bresource\b|\bownership verification fail|\bitems are not persisted\b"
)
"""How an account denies what a request builds on where no code says so. Azure's words: looplj/axonhub#2329,
BerriAI/litellm#25759, openclaw/openclaw#21782; OpenAI's: lidge-jun/opencodex#2269."""
_THING_NOT_THERE = re.compile(
    r"\b(?:response|conversation|item|file|container|vector store|prompt|batch|thread|skill)s?\b[^.;]{0,160}"
    r"\b(?:not found|not be found|not exist)"
)
_OTHER_API = re.compile(r"\b(?:only|not) supported in the /?v1/|\bonly supported in /?v1/|\bdid you mean to use /?v1/")
_UPSTREAMS = re.compile(r"\bupstream\b.{0,40}\b(?:fail|error|unavailable|unreachable|overloaded|tim(?:ed|e)[- ]?out)")


def denies_a_thing(status: int, words: ErrorFields) -> bool:
    """Of a request that builds on what one account keeps: is this how an account says that it keeps nothing such?"""
    return status == 404 or (status == 400 and _THING_NOT_THERE.search(words.said) is not None)


def refused(status: int, words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    """The kind of an error of any status but those of keys, limits, conflicts and outages, and what could be done."""
    if words.any_of(codes.MISSING):
        return _missing(words, owns_credential)
    if status in NOT_THERE_STATUSES:
        return _not_there(status, words, owns_credential)
    if status == 413:
        return _too_large(words), None
    return _request(status, words, owns_credential)


def _missing(words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    """A model that is there, but not for this API (OpenAI: 404, `param` model), is well for another one."""
    if not owns_credential or _OTHER_API.search(words.said):
        return FailureKind.UNSERVABLE, None
    return FailureKind.NOT_FOUND, MISSING_HINT


def _not_there(status: int, words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    """Of the path or the model, which is the configuration's; of what the request names; or nobody knows of what."""
    if words.param and words.param != "model":
        return _request(status, words, owns_credential)
    said = words.said
    if not said or words.param == "model" or _NOT_THERE.search(said) or _OTHER_API.search(said):
        return _missing(words, owns_credential)
    return FailureKind.UNKNOWN, None


def _too_large(words: ErrorFields) -> FailureKind:
    """How much a server takes is its own affair, and at Groq that of a rate limit; how much a model takes is not."""
    return FailureKind.CLIENT if any("context" in name for name in words.names) else FailureKind.OVER_LIMIT


def _request(status: int, words: ErrorFields, owns_credential: bool) -> tuple[FailureKind, str | None]:
    message = words.said
    if status == 400 and "api-version" in message and "not allowed" in message:
        return FailureKind.MISCONFIGURED, API_VERSION_HINT
    if status == 400 and "api version not supported" in message:
        return FailureKind.MISCONFIGURED, API_VERSION_HINT
    if words.param == "service_tier" and "not allowed for this project" in message:
        return FailureKind.UNSERVABLE, None
    if words.any_of(codes.STATE) or _NOT_KEPT.search(message):
        return FailureKind.STATE, None
    if owns_credential and (words.any_of(codes.BAD_KEY) or _BAD_KEY_400.match(message)):
        return FailureKind.KEY, KEY_HINT
    return _whose(status, words), None


def _whose(status: int, words: ErrorFields) -> FailureKind:
    """The request's, unless its status or its words say otherwise. A sentence alone brings no endpoint down: it may
    hold the client's own words."""
    for name in words.names:
        if name in _OUTAGE:
            return FailureKind.UNKNOWN
        if name not in VAGUE and codes.is_about_request((name,)):
            return FailureKind.CLIENT
    if status not in OF_REQUESTS:
        return FailureKind.CLIENT if words.param else FailureKind.UNKNOWN
    said = words.said
    names_the_model = words.param in ("", "model") and _NO_SUCH_MODEL.search(said)
    return FailureKind.UNSERVABLE if names_the_model or _UPSTREAMS.search(said) else FailureKind.CLIENT
