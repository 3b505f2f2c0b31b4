"""What the client libraries' exceptions mean: the only place that knows their names.

`ROWS` has a row for every exception that aiohttp and httpx export, and a test that fails when a release brings one
without a row. Their names do not always say what happened (aiohttp wraps a reset in half a dozen classes), so the
operating system's word, found along the chain of causes, is preferred where there is one.
"""

import errno
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx
from aiohttp import client_exceptions as aio
from aiohttp.http_exceptions import HttpProcessingError

from adapters.upstreams.system_errors import BROKEN, OURS, WORDS, number_of, tls_words
from domain.failure import Failure, FailureKind


class ClosedInHead(aiohttp.ClientError):
    """The server closed the connection after the first byte of the reply and before the end of its headers."""


class SpokeFirst(aiohttp.ClientError):
    """The server sent something before it was asked anything."""


class OtherProtocol(aiohttp.ClientError):
    """The reply's status line is not of HTTP/1.1 or HTTP/1.0."""


class HeadTooLarge(aiohttp.ClientError):
    """The reply's headers are larger than is read."""


class SwitchedProtocols(aiohttp.ClientError):
    """The server answered 101 to a request that asked for no other protocol."""


class IdleTimeout(aiohttp.ClientError):
    """Nothing of the body came for the call's `idle_timeout_s`."""


class UploadStalled(aiohttp.ClientError):
    """The server took nothing of an upload for the call's `idle_timeout_s`."""


LIBRARY_ERRORS = (aiohttp.ClientError, httpx.HTTPError, httpx.InvalidURL, HttpProcessingError, OSError)
"""What a call may raise because of the network or the server; anything else is a defect and is not dressed up."""

Row = tuple[FailureKind, str]

_CLOSED: Row = (FailureKind.RESET, "connection lost")
_CONNECT: Row = (FailureKind.CONNECT, "cannot connect")
_PROXY: Row = (FailureKind.CONNECT, "outbound proxy failed")
_SLOW_CONNECT: Row = (FailureKind.CONNECT_TIMEOUT, "no connection in time")
_SLOW_HEADERS: Row = (FailureKind.FIRST_BYTE_TIMEOUT, "no reply in time")
_SLOW_BODY: Row = (FailureKind.IDLE_TIMEOUT, "reply stalled")
_TLS: Row = (FailureKind.TLS, "TLS failed")
_CUT: Row = (FailureKind.TRUNCATED, "reply cut short")
_JUNK: Row = (FailureKind.JUNK, "not a valid HTTP reply")
_BAD_URL: Row = (FailureKind.MISCONFIGURED, "URL cannot be used")

ROWS: dict[type[BaseException], Row] = {
    ClosedInHead: (FailureKind.TRUNCATED, "closed inside the headers"),
    SpokeFirst: (FailureKind.JUNK, "replied before it was asked"),
    OtherProtocol: _JUNK,
    HeadTooLarge: (FailureKind.JUNK, "headers too large"),
    SwitchedProtocols: (FailureKind.JUNK, "switched protocols unasked"),
    IdleTimeout: _SLOW_BODY,
    UploadStalled: (FailureKind.IDLE_TIMEOUT, "upload stalled"),
    # The system's own. `asyncio.timeout` around the wait for the headers ends in a bare TimeoutError.
    OSError: _CLOSED,
    TimeoutError: _SLOW_HEADERS,
    socket.gaierror: (FailureKind.DNS, "name not resolved"),
    ssl.SSLError: _TLS,
    HttpProcessingError: _JUNK,
    # aiohttp
    aio.ClientError: _CLOSED,
    aio.ClientConnectionError: _CLOSED,
    aio.ClientConnectionResetError: _CLOSED,
    aio.ClientOSError: _CLOSED,
    aio.ClientConnectorError: _CONNECT,
    aio.ClientProxyConnectionError: _PROXY,
    aio.ClientHttpProxyError: (FailureKind.CONNECT, "outbound proxy refused"),
    aio.ClientConnectorDNSError: (FailureKind.DNS, "name not resolved"),
    aio.ClientSSLError: _TLS,
    aio.ClientConnectorSSLError: _TLS,
    aio.ClientConnectorCertificateError: (FailureKind.TLS, "certificate verify failed"),
    aio.ServerFingerprintMismatch: (FailureKind.TLS, "certificate fingerprint differs"),
    aio.ConnectionTimeoutError: _SLOW_CONNECT,
    aio.ServerTimeoutError: _SLOW_HEADERS,
    aio.SocketTimeoutError: _SLOW_BODY,
    aio.ServerConnectionError: _CLOSED,
    aio.ServerDisconnectedError: (FailureKind.RESET, "closed before reply"),
    aio.ClientPayloadError: _CUT,
    aio.UploadAbortedError: (FailureKind.RESET, "request not sent completely"),
    aio.ClientResponseError: _JUNK,
    aio.ContentTypeError: _JUNK,
    aio.WSServerHandshakeError: _JUNK,
    aio.WSMessageTypeError: _JUNK,
    aio.RedirectClientError: _JUNK,
    aio.InvalidUrlRedirectClientError: _JUNK,
    aio.NonHttpUrlRedirectClientError: _JUNK,
    aio.InvalidURL: _BAD_URL,
    aio.InvalidUrlClientError: _BAD_URL,
    aio.NonHttpUrlClientError: _BAD_URL,
    # httpx
    httpx.HTTPError: _CLOSED,
    httpx.RequestError: _CLOSED,
    httpx.TransportError: _CLOSED,
    httpx.NetworkError: _CLOSED,
    httpx.ConnectError: _CONNECT,
    httpx.ReadError: _CLOSED,
    httpx.WriteError: _CLOSED,
    httpx.CloseError: _CLOSED,
    httpx.ProxyError: _PROXY,
    httpx.TimeoutException: _SLOW_HEADERS,
    httpx.ConnectTimeout: _SLOW_CONNECT,
    httpx.PoolTimeout: _SLOW_HEADERS,
    httpx.WriteTimeout: _SLOW_HEADERS,
    httpx.ReadTimeout: _SLOW_BODY,
    httpx.ProtocolError: _JUNK,
    httpx.LocalProtocolError: _JUNK,
    httpx.RemoteProtocolError: _JUNK,
    httpx.DecodingError: _JUNK,
    httpx.TooManyRedirects: _JUNK,
    httpx.HTTPStatusError: _JUNK,
    httpx.CookieConflict: _JUNK,
    httpx.StreamError: _CLOSED,
    httpx.StreamClosed: _CLOSED,
    httpx.StreamConsumed: _CLOSED,
    httpx.ResponseNotRead: _CLOSED,
    httpx.RequestNotRead: _CLOSED,
    httpx.UnsupportedProtocol: _BAD_URL,
    httpx.InvalidURL: _BAD_URL,
}

_SETTLED = {FailureKind.JUNK, FailureKind.MISCONFIGURED, FailureKind.IDLE_TIMEOUT, FailureKind.DNS}
"""Kinds that the library's own name settles, whatever caused them."""


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception of a client library stands for, in words that hold nothing of the request."""
    kind, reason = next(ROWS[cls] for cls in type(error).__mro__ if cls in ROWS)
    if kind in _SETTLED or isinstance(error, ClosedInHead):
        return Failure(kind, reason)
    if isinstance(error, TimeoutError) and error.errno is None:
        return Failure(kind, reason)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, aio.ClientError):
            return Failure(FailureKind.TLS, tls_words(cause))
        if isinstance(cause, OSError):
            row = _system_row(cause, kind, error)
            if row is not None:
                return Failure(*row)
    return Failure(kind, reason)


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _system_row(error: OSError, kind: FailureKind, wrapper: BaseException) -> Row | None:
    """What the operating system said, placed in the phase the wrapper names; None = it said nothing."""
    number = number_of(error)
    if number is None:
        return None
    words = WORDS[number]
    if number in OURS:
        return FailureKind.LOCAL, words
    if isinstance(wrapper, aio.ClientProxyConnectionError):
        return FailureKind.CONNECT, f"outbound proxy: {words}"
    if kind is not FailureKind.CONNECT:
        return FailureKind.RESET, words
    if number == errno.ETIMEDOUT:
        return FailureKind.CONNECT_TIMEOUT, words
    if number in BROKEN:
        # A TCP connect is refused, never reset: the peer hung up right after it, or in the middle of the TLS handshake.
        encrypted = isinstance(wrapper, aio.ClientConnectorError) and wrapper._conn_key.is_ssl
        return (FailureKind.TLS, f"{words} in the handshake") if encrypted else (FailureKind.RESET, words)
    return kind, words
