"""What the operating system and OpenSSL say when a connection fails, in fixed words that hold nothing of a request."""

import errno
import ssl
from collections.abc import Iterator

WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ECONNABORTED: "connection aborted",
    errno.EPIPE: "connection closed while sending",
    errno.ETIMEDOUT: "connection timed out",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.EHOSTDOWN: "host is down",
    errno.EADDRNOTAVAIL: "no local address available",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}

OURS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL}  # what this machine has run out of: no endpoint is to blame
BROKEN = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}  # the other side hung up

_NO_RECORD = ("wrong version number", "record layer failure")  # OpenSSL's words, older and newer, for what is no TLS


def number_of(error: OSError) -> int | None:
    """Which of `WORDS` it is; None = it says nothing. asyncio raises resets of its own without a number."""
    number = error.errno
    if number is None and isinstance(error, ConnectionResetError) and error.args == ():
        number = errno.ECONNRESET
    return number if number in WORDS else None


def tls_words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, which it takes from a fixed list; Python's own errors have none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {getattr(error, 'verify_message', '')}".removesuffix(": ")
    words = str(getattr(error, "reason", None) or "TLS failed").replace("_", " ").lower()
    return f"{words}: it may speak plain HTTP" if words in _NO_RECORD else words


def causes(error: BaseException, *, also_suppressed: bool = False) -> Iterator[BaseException]:
    """The error, and why it was raised, nearest first; `also_suppressed`: past `raise ... from None` as well."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        is_hidden = link.__suppress_context__ and not also_suppressed
        link = link.__cause__ or (None if is_hidden else link.__context__)
