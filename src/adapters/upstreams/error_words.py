"""What the providers' errors mean: status, code and words of OpenAI and Azure OpenAI to a kind of failure.

Sources are the providers' error guides and public threads; the 59 captures in `tests/data/upstream_errors.json` name
theirs. Code AND type are read, because the type of money errors stayed `insufficient_quota` while the codes multiplied,
and Azure often puts the status into the code.
"""

import re
from typing import Any

from msgspec import Struct

from adapters.upstreams.retry_delay import delay_in_text_s
from domain.failure import Failure, FailureKind

_SAFE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_MONEY = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
_OVERLOADED = frozenset({"server_is_overloaded", "service_unavailable_error", "slow_down"})
_LIMITED = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests", "ratelimitreached", "429"})
_STATE = frozenset({"previous_response_not_found", "invalid_encrypted_content"})
_CLIENT = frozenset({"invalid_request_error", "content_filter", "context_length_exceeded", "invalid_prompt"})
_MISSING = frozenset({"model_not_found", "deploymentnotfound"})
_KEY = frozenset({"invalid_api_key", "invalid_subscription_key"})

API_VERSION_HINT = "remove api-version from default_query: this endpoint's /v1 path does not take one"
_KEY_HINT = "check api_key of this endpoint"
_RIGHTS_HINT = "the key or identity lacks rights here (role, network rule or region)"
_MONEY_HINT = "the account behind this key is out of money or at its spend limit"
_MISSING_HINT = "check model, base_url and azure_deployment of this endpoint"


class ErrorWords(Struct, frozen=True):
    """What an error body says; empty = nothing of that name."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""

    @classmethod
    def of(cls, error: Any) -> "ErrorWords":
        """From the `error` value of a body, in whatever shape: an object, a string, or none."""
        if isinstance(error, str):
            return cls(message=error)
        if not isinstance(error, dict):
            return cls()
        inner = error.get("innererror")
        code = _text(error.get("code")) or _text(inner.get("code") if isinstance(inner, dict) else None)
        return cls(code, _text(error.get("type")), _text(error.get("message")), _text(error.get("param")))

    @property
    def label(self) -> str:
        """The code, else the type, if it is one plain word: what may be shown in logs and messages."""
        for word in (self.code, self.type):
            if _SAFE.fullmatch(word):
                return word
        return ""

    @property
    def is_about_model(self) -> bool:
        """Does it say that the model or the deployment is what is missing?"""
        return self.any_of(_MISSING) or self.param == "model"

    def any_of(self, known: frozenset[str]) -> bool:
        """Is the code or the type one of these?"""
        return self.code.lower() in known or self.type.lower() in known


def classify(status: int, words: ErrorWords, *, owns_credential: bool, retry_after_s: float | None = None) -> Failure:
    """What an error reply means. `owns_credential` False = it was earned by the client's own key."""
    kind, hint = _kind(status, words, owns_credential)
    shown = words.label if words.label != str(status) else ""
    return Failure(kind, f"{status} {shown}".strip(), status, retry_after_s, hint)


def classify_in_stream(words: ErrorWords, *, owns_credential: bool) -> Failure:
    """What an error inside a 200 means: as its code says, there is no status."""
    if words.any_of(_MONEY | _LIMITED):
        status = 429
    elif words.any_of(_OVERLOADED):
        status = 503
    elif words.any_of(_KEY):
        status = 401
    elif words.any_of(_MISSING):
        status = 404
    elif words.any_of(_STATE | _CLIENT):
        status = 400
    else:
        status = 500
    delay_s = delay_in_text_s(words.message) if status in (429, 503) else None
    failure = classify(status, words, owns_credential=owns_credential, retry_after_s=delay_s)
    return Failure(failure.kind, f"error in a 200: {failure.reason}", 200, delay_s, failure.hint)


def _kind(status: int, words: ErrorWords, owns_credential: bool) -> tuple[FailureKind, str | None]:
    if status in (401, 403):
        return _refused(status, words, owns_credential)
    if status in (429, 402):
        return _limited(status, words, owns_credential)
    if status == 408:
        return FailureKind.REQUEST_TIMEOUT, None
    if status == 409:
        return FailureKind.CONFLICT, None
    if status >= 500:
        overloaded = status == 503 and words.any_of(_OVERLOADED)
        return (FailureKind.OVERLOADED if overloaded else FailureKind.SERVER_ERROR), None
    if 300 <= status < 400:
        return FailureKind.MISCONFIGURED, "the endpoint redirects, which is never followed: check base_url"
    if words.any_of(_MISSING) or (status == 404 and _is_about_the_endpoint(words)):
        if owns_credential:
            return FailureKind.NOT_FOUND, _MISSING_HINT
        return FailureKind.UNSERVABLE, None
    return _refused_request(status, words)


def _is_about_the_endpoint(words: ErrorWords) -> bool:
    """Is this 404 about the path or the model? Those about something that the request names say which parameter."""
    return not words.param or words.param == "model"


def _refused(status: int, words: ErrorWords, owns_credential: bool) -> tuple[FailureKind, str | None]:
    if not owns_credential:
        return FailureKind.CLIENT, None
    if status == 401 and (words.any_of(_KEY) or "subscription key" in words.message):
        return FailureKind.KEY, _KEY_HINT
    return FailureKind.AUTH, _RIGHTS_HINT


def _limited(status: int, words: ErrorWords, owns_credential: bool) -> tuple[FailureKind, str | None]:
    if status == 402 or words.any_of(_MONEY):
        return (FailureKind.MONEY, _MONEY_HINT) if owns_credential else (FailureKind.CLIENT, None)
    if words.message.startswith("Request too large"):
        return FailureKind.OVER_LIMIT, None
    if words.code in ("flex_unavailable", "resource_unavailable"):
        return FailureKind.UNSERVABLE, None
    return FailureKind.RATE_LIMITED, None


def _refused_request(status: int, words: ErrorWords) -> tuple[FailureKind, str | None]:
    message = words.message.lower()
    if status == 400 and "api-version" in message and "not allowed" in message:
        return FailureKind.MISCONFIGURED, API_VERSION_HINT
    if status == 400 and "api version not supported" in message:
        return FailureKind.MISCONFIGURED, API_VERSION_HINT
    if words.param == "service_tier" and "not allowed for this project" in message:
        return FailureKind.UNSERVABLE, None
    if words.any_of(_STATE) or ("encrypted content" in message and "could not be verified" in message):
        return FailureKind.STATE, None
    return FailureKind.CLIENT, None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
