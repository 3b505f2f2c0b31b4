"""What is no request, or none that is served here, and why."""

from adapters.http.server.limits import HEAD_S
from application.errors import InvalidRequest

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256

MALFORMED = InvalidRequest("The request is malformed; RFC 9112 says how one is written.", code="malformed_request")
HEAD_TOO_LARGE = InvalidRequest(f"The headers are larger than {MAX_HEAD_BYTES} bytes.", code="headers_too_large")
TOO_MANY_HEADERS = InvalidRequest(f"There are more than {MAX_HEADERS} headers.", code="headers_too_large")
OTHER_VERSION = InvalidRequest("Only HTTP/1.1 and HTTP/1.0 are served here.", code="http_version_not_served")
OTHER_CODING = InvalidRequest("The only transfer-encoding served here is 'chunked'.", code="transfer_coding_not_served")
UPGRADE_WITH_BODY = InvalidRequest("A request that opens a WebSocket has no body.", code="malformed_request")
SLOW_HEAD = InvalidRequest(f"The headers did not come within {HEAD_S:g} s.", code="request_timeout")
BAD_TARGET = InvalidRequest("The request target must be a path.", code="malformed_request")


def size_refusal(url: bytes, headers: list[tuple[bytes, bytes]]) -> InvalidRequest | None:
    """None = the head is not too large. What has come with it may be a body already, so that is left out."""
    if len(headers) > MAX_HEADERS:
        return TOO_MANY_HEADERS
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    return HEAD_TOO_LARGE if size > MAX_HEAD_BYTES else None


def coding_refusal(headers: list[tuple[bytes, bytes]], version: str) -> InvalidRequest | None:
    """None = the body comes in chunks and nothing else. HTTP/1.0 has no codings: a client that names one is not sure to
    mean it (RFC 9112, 6.1)."""
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    return OTHER_CODING if version == "1.0" or codings != [b"chunked"] else None
