"""Errors as the OpenAI SDKs understand them: status, `{"error": {...}}`, and when to try again.

SDKs honour `retry-after` up to 60 or 120 s only, and openai-node 6 really sleeps for a day if told to, so more than
60 s is never sent. `x-should-retry: false` keeps them from repeating what the proxy has tried already.
"""

import math
from collections.abc import Sequence

from application.errors import InvalidRequest, ProxyError
from domain.failure import Failure

MAX_RETRY_AFTER_S = 60.0

RawHeaderList = list[tuple[bytes, bytes]]


class Refusal(InvalidRequest):
    """A refusal whose status wants a header beside it (RFC 9110, 15.5)."""

    def __init__(self, message: str, *, code: str, headers: RawHeaderList) -> None:
        super().__init__(message, code=code)
        self.headers = headers


class WrongMethod(Refusal):
    """The path is served, but not with this method."""

    def __init__(self, method: str, served: Sequence[str]) -> None:
        super().__init__(
            f"{method} is not served here; use {' or '.join(served)}.",
            code="method_not_allowed",
            headers=[(b"allow", ", ".join(served).encode())],
        )


class ShuttingDown(ProxyError):
    """The proxy stops, and this request took longer than the shutdown waits."""

    code = "proxy_shutting_down"
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("The proxy is shutting down and could not finish this request.")


def error_headers(error: ProxyError) -> RawHeaderList:
    """The headers that go with it, but for `content-length`."""
    headers = [(b"content-type", b"application/json")]
    if error.retry_after_s is not None:
        headers += _retry_after(error.retry_after_s)
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if isinstance(error, Refusal):
        headers += error.headers
    return headers


def relayed_error_headers(headers: RawHeaderList, failure: Failure) -> RawHeaderList:
    """The headers of an upstream's own error: no delay a client should not sleep, no retry that cannot help."""
    kept = [pair for pair in headers if pair[0] not in (b"retry-after", b"retry-after-ms", b"x-should-retry")]
    if failure.retry_after_s is not None:
        kept += _retry_after(failure.retry_after_s)
    if failure.meaning.next_endpoint:
        kept.append((b"x-should-retry", b"false"))
    return kept


def _retry_after(seconds: float) -> RawHeaderList:
    seconds = min(MAX_RETRY_AFTER_S, seconds)
    return [
        (b"retry-after", b"%d" % max(1, math.ceil(seconds))),
        (b"retry-after-ms", b"%d" % max(1, math.ceil(seconds * 1000))),
    ]
