"""How an exchange can fail, in the words the other adapter uses as well."""

import errno
import socket
import ssl

from adapters.system_errors import BROKEN, OURS, WORDS, number_of, tls_words
from domain.failure import Failure, FailureKind

BAD_URL = Failure(FailureKind.MISCONFIGURED, "URL cannot be used")
NO_NAME = Failure(FailureKind.DNS, "name not resolved")
NO_FILE = Failure(FailureKind.LOCAL, WORDS[errno.EMFILE])
NO_SLOT = Failure(FailureKind.LOCAL, "all max_connections to this host are in use")
SLOW_CONNECT = Failure(FailureKind.CONNECT_TIMEOUT, "no connection in time")
UNUSABLE_PROXY = Failure(FailureKind.MISCONFIGURED, "outbound proxy cannot be used")
PROXY_FAILED = Failure(FailureKind.CONNECT, "outbound proxy failed")
PROXY_REFUSED = Failure(FailureKind.CONNECT, "outbound proxy refused")
LOST = Failure(FailureKind.RESET, "connection lost")
UNANSWERED = Failure(FailureKind.RESET, "closed before reply")
SLOW_HEAD = Failure(FailureKind.FIRST_BYTE_TIMEOUT, "no reply in time")
CUT_IN_HEAD = Failure(FailureKind.TRUNCATED, "closed inside the headers")
HEAD_TOO_LARGE = Failure(FailureKind.JUNK, "headers too large")
SWITCHED = Failure(FailureKind.JUNK, "switched protocols unasked")
SPOKE_FIRST = Failure(FailureKind.JUNK, "replied before it was asked")
NO_WEBSOCKET = Failure(FailureKind.JUNK, "not a valid WebSocket handshake")
NOT_HTTP = Failure(FailureKind.JUNK, "not a valid HTTP reply")
SLOW_BODY = Failure(FailureKind.IDLE_TIMEOUT, "reply stalled")
CUT_IN_BODY = Failure(FailureKind.TRUNCATED, "reply cut short")
UPLOAD_STALLED = Failure(FailureKind.IDLE_TIMEOUT, "upload stalled")


def lost(error: BaseException) -> Failure:
    if isinstance(error, ssl.SSLError):
        return Failure(FailureKind.TLS, tls_words(error))
    number = number_of(error) if isinstance(error, OSError) else None
    return LOST if number is None else Failure(FailureKind.RESET, WORDS[number])


def not_connected(error: OSError, to_proxy: bool) -> Failure:
    if isinstance(error, socket.gaierror):
        return NO_NAME
    number = number_of(error)
    if number is None:
        return PROXY_FAILED if to_proxy else Failure(FailureKind.CONNECT, "cannot connect")
    words = WORDS[number]
    if number in OURS:
        return Failure(FailureKind.LOCAL, words)
    if to_proxy:
        return Failure(FailureKind.CONNECT, f"outbound proxy: {words}")
    if number == errno.ETIMEDOUT:
        return Failure(FailureKind.CONNECT_TIMEOUT, words)
    # A TCP connect is refused, never reset: the peer hung up right after it.
    return Failure(FailureKind.RESET if number in BROKEN else FailureKind.CONNECT, words)


def no_handshake(error: OSError) -> Failure:
    """An error while TLS was agreed on; Python's TLS errors are OSErrors as well."""
    if isinstance(error, ssl.SSLError):
        return Failure(FailureKind.TLS, tls_words(error))
    number = number_of(error)
    return Failure(FailureKind.TLS, "TLS failed" if number is None else f"{WORDS[number]} in the handshake")
