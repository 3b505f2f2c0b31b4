"""Which codings a request's body has (RFC 9110, 8.4), and which are taken off before it is read."""

from collections.abc import Sequence

from adapters.http.error_headers import Refusal
from application.messages import Headers
from domain.bounded_memo import remembered

_SERVED = ("zstd", "gzip", "br", "deflate")  # as a refusal lists them, those that agents use first
_ALIASES = {"x-gzip": "gzip", "identity": ""}
MOST_CODINGS = 2  # so many may lie around one another: a client's, and that of a gateway in between

_OF_THE_CODED = frozenset({"content-encoding", "content-md5", "digest", "content-digest", "repr-digest"})
"""Headers that are true of the bytes that came, and of no others."""


def content_codings(headers: dict[bytes, bytes]) -> Sequence[str]:
    """In the order in which they were put on; empty = the body is as it is. Raises `Refusal` (415, which lists those
    that are served, RFC 7694) for one that is unknown here, and for more than two."""
    value = headers.get(b"content-encoding")
    if value is None:
        return ()
    names = _split(value)
    if len(names) > MOST_CODINGS or not all(name in _SERVED for name in names):
        raise Refusal(
            f"The body's content-encoding is not served here; send {', '.join(_SERVED)}, two of them at most, or none.",
            code="unsupported_encoding",
            fields=(f"accept-encoding: {', '.join(_SERVED)}",),
        )
    return names


def without_coding(headers: Headers) -> Headers:
    """The headers of a body that has lost its codings."""
    return tuple(pair for pair in headers if pair[0] not in _OF_THE_CODED)


@remembered(most=32, longest=64)
def _split(value: bytes) -> Sequence[str]:
    listed = (part.strip() for part in value.decode("latin-1").lower().split(","))
    return tuple(filter(None, (_ALIASES.get(name, name) for name in listed)))
