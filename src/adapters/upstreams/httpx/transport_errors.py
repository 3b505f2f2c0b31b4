"""What the exceptions of httpx mean: the only place that knows their names.

Those of our own transport bring along what happened. `ROWS` is for other transports, which may be mounted: it has a row
for every exception of httpx that a call may raise, and a test that fails when a release brings one without a row. Their
names do not always say what happened, so the operating system's word, found along the chain of causes, is preferred.
"""

import socket
import ssl
from collections.abc import Sequence

import httpx

from adapters.system_errors import OURS, WORDS, causes, number_of, tls_words
from adapters.upstreams.http1 import failures
from application.ports import UpstreamFailed
from domain.failure import Failure, FailureKind

LIBRARY_ERRORS = (httpx.HTTPError, httpx.InvalidURL, OSError)  # because of network or server; others are defects

_ROWS: dict[Failure, Sequence[type[BaseException]]] = {
    failures.LOST: (
        *(OSError, httpx.HTTPError, httpx.RequestError, httpx.TransportError),
        *(httpx.NetworkError, httpx.ReadError, httpx.WriteError, httpx.CloseError),
    ),
    failures.SLOW_HEAD: (TimeoutError, httpx.TimeoutException, httpx.WriteTimeout, httpx.ReadTimeout),
    failures.SLOW_CONNECT: (httpx.ConnectTimeout,),
    failures.NO_SLOT: (httpx.PoolTimeout,),
    failures.NO_NAME: (socket.gaierror,),
    Failure(FailureKind.TLS, "TLS failed"): (ssl.SSLError,),
    Failure(FailureKind.CONNECT, "cannot connect"): (httpx.ConnectError,),
    failures.PROXY_FAILED: (httpx.ProxyError,),
    failures.NOT_HTTP: (
        *(httpx.ProtocolError, httpx.LocalProtocolError, httpx.RemoteProtocolError),
        *(httpx.DecodingError, httpx.TooManyRedirects, httpx.HTTPStatusError),
    ),
    failures.BAD_URL: (httpx.UnsupportedProtocol, httpx.InvalidURL),
}
ROWS = {error: failure for failure, errors in _ROWS.items() for error in errors}

_SETTLED = {FailureKind.JUNK, FailureKind.MISCONFIGURED, FailureKind.DNS, FailureKind.LOCAL}  # whatever caused them


def failure_of(error: BaseException, *, in_body: bool = False) -> Failure:
    """What an exception stands for, without words of the request. `in_body`: had the reply's headers come?"""
    if isinstance(error.__cause__, UpstreamFailed):
        return error.__cause__.failure
    failure = next(ROWS[cls] for cls in type(error).__mro__ if cls in ROWS)
    if failure.kind in _SETTLED:
        return failure
    for cause in causes(error, also_suppressed=True):
        if isinstance(cause, ssl.SSLError):
            return Failure(FailureKind.TLS, tls_words(cause))
        if isinstance(cause, socket.gaierror):
            return failures.NO_NAME
        said = _said_by_the_system(cause, failure) if isinstance(cause, OSError) else None
        if said is not None:
            return said
    return failures.SLOW_BODY if in_body and failure == failures.SLOW_HEAD else failure


def _said_by_the_system(error: OSError, failure: Failure) -> Failure | None:
    """What the operating system said, placed in the phase that `failure` is of; None = it said nothing."""
    number = number_of(error)
    if number is None:
        return None
    if failure.kind is FailureKind.CONNECT:
        return failures.not_connected(error, failure == failures.PROXY_FAILED)
    return Failure(FailureKind.LOCAL if number in OURS else FailureKind.RESET, WORDS[number])
