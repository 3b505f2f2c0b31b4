"""The headers that go with an error, the refusals that have some of their own, and when to try again.

SDKs honour `retry-after` up to 60 or 120 s only, and openai-node 6 really sleeps for a day if told to, so more than
60 s is never sent. `x-should-retry: false` keeps them from repeating what the proxy has tried already.
"""

import math
from collections.abc import Sequence

from application.errors import InvalidRequest, ProxyError
from domain.failure import Failure

MAX_RETRY_AFTER_S = 60.0

_OF_RETRIES = ("retry-after: ", "retry-after-ms: ", "x-should-retry: ")


class Refusal(InvalidRequest):
    """A refusal whose status wants a header beside it (RFC 9110, 15.5)."""

    def __init__(self, message: str, *, code: str, fields: Sequence[str]) -> None:
        super().__init__(message, code=code)
        self.fields = fields


class WrongMethod(Refusal):
    """The path is served, but not with this method."""

    def __init__(self, method: str, served: Sequence[str]) -> None:
        super().__init__(
            f"{method} is not served here; use {' or '.join(served)}.",
            code="method_not_allowed",
            fields=(f"allow: {', '.join(served)}",),
        )


class ShuttingDown(ProxyError):
    """The proxy stops, and this request took longer than the shutdown waits."""

    code = "proxy_shutting_down"
    retry_after_s = 1.0

    def __init__(self) -> None:
        super().__init__("The proxy is shutting down and could not finish this request.")


def error_fields(error: ProxyError) -> list[str]:
    """The headers that go with it, but for `content-length`."""
    fields = ["content-type: application/json"]
    if error.retry_after_s is not None:
        fields += _retry_after(error.retry_after_s)
    if error.should_retry is not None:
        fields.append(f"x-should-retry: {'true' if error.should_retry else 'false'}")
    if isinstance(error, Refusal):
        fields += error.fields
    return fields


def relayed_error_fields(fields: Sequence[str], failure: Failure) -> list[str]:
    """The headers of an upstream's own error: no delay a client should not sleep, no retry that cannot help."""
    kept = [field for field in fields if not field.startswith(_OF_RETRIES)]
    if failure.retry_after_s is not None:
        kept += _retry_after(failure.retry_after_s)
    if failure.meaning.next_endpoint:
        kept.append("x-should-retry: false")
    return kept


def _retry_after(seconds: float) -> tuple[str, str]:
    seconds = min(MAX_RETRY_AFTER_S, seconds)
    return f"retry-after: {max(1, math.ceil(seconds))}", f"retry-after-ms: {max(1, math.ceil(seconds * 1000))}"
