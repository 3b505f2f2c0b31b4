"""Lets the pages that may call the proxy read what it answers: every answer, good or not (CORS, Fetch Standard 3.2).

That other pages may not even ask is the guard's doing.
"""

from adapters.http.paths.routes import METHODS

_READABLE = ", ".join((
    "x-llmproxy-request-id", "x-llmproxy-endpoint", "x-llmproxy-attempts", "x-llmproxy-reasons", "x-llmproxy-cache",
    "x-llmproxy-cost", "x-llmproxy-overhead-ms", "x-request-id", "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens", "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens", "retry-after", "retry-after-ms", "x-should-retry",
    "openai-organization", "openai-processing-ms", "openai-project", "openai-version", "openai-model",
    "apim-request-id", "x-ms-region", "x-ms-client-request-id", "x-ms-deployment-name", "azureml-model-session",
    "operation-location", "location", "content-disposition", "content-range", "etag", "www-authenticate", "allow",
    "date", "deprecation", "sunset",
))  # fmt: skip
"""What a page may read besides the body: a list, as `*` means nothing to pages that send credentials."""

_REMEMBERED_S = 7200  # how long a browser need not ask again; Chrome keeps nothing longer

_VARY = "vary: origin"


def readable_by(origin: bytes | None) -> list[str]:
    """What an answer to a page of that origin carries; None = to nobody's, or one that may not read it.

    A cache between must not give the one to the other.
    """
    if origin is None:
        return [_VARY]
    return [
        f"access-control-allow-origin: {origin.decode('latin-1')}",
        f"access-control-expose-headers: {_READABLE}",
        _VARY,
    ]


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """Does a browser ask whether a page may send a request?"""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def leave(headers: dict[bytes, bytes]) -> list[str]:
    """What the answer to a preflight carries besides: any method, and whatever headers the page wants to send."""
    granted = [
        f"access-control-allow-methods: {', '.join(METHODS)}",
        f"access-control-max-age: {_REMEMBERED_S}",
        "vary: access-control-request-method, access-control-request-headers",
    ]
    wanted = headers.get(b"access-control-request-headers")
    if wanted:
        granted.append(f"access-control-allow-headers: {wanted.decode('latin-1')}")
    if headers.get(b"access-control-request-private-network", b"").lower() == b"true":
        granted.append("access-control-allow-private-network: true")
    return granted
