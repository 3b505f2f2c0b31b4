"""Every exception of the client libraries has a meaning, and the system's word beats the library's."""

import errno
import inspect
import socket
import ssl
from types import ModuleType

import aiohttp
import httpx
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.client_reqrep import ConnectionKey

from adapters.upstreams.transport_errors import (
    LIBRARY_ERRORS,
    ROWS,
    ClosedInHead,
    HeadTooLarge,
    IdleTimeout,
    SwitchedProtocols,
    failure_of,
)
from domain.failure import FailureKind

KEY = ConnectionKey("h.test", 443, True, True, None, None, None)


def exported(module: ModuleType) -> list[type[BaseException]]:
    found = [getattr(module, name) for name in module.__all__]
    return [thing for thing in found if inspect.isclass(thing) and issubclass(thing, BaseException)]


def after(error: BaseException, cause: BaseException) -> BaseException:
    """The error as a library raises it because of `cause`."""
    try:
        raise error from cause
    except type(error) as raised:
        return raised


@pytest.mark.parametrize("cls", exported(client_exceptions) + exported(httpx))
def test_every_exported_exception_has_a_row_of_its_own(cls: type[BaseException]) -> None:
    assert cls in ROWS


@pytest.mark.parametrize("cls", exported(http_exceptions))
def test_every_parsing_error_of_aiohttp_is_junk(cls: type[BaseException]) -> None:
    error = cls.__new__(cls)

    assert isinstance(error, LIBRARY_ERRORS)
    assert failure_of(error).kind is FailureKind.JUNK


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (TimeoutError(), FailureKind.FIRST_BYTE_TIMEOUT, "no reply in time"),
        (
            aiohttp.ConnectionTimeoutError("http://h/v1?key=secret"),
            FailureKind.CONNECT_TIMEOUT,
            "no connection in time",
        ),
        (IdleTimeout(), FailureKind.IDLE_TIMEOUT, "reply stalled"),
        (ClosedInHead(), FailureKind.TRUNCATED, "closed inside the headers"),
        (HeadTooLarge(), FailureKind.JUNK, "headers too large"),
        (SwitchedProtocols(), FailureKind.JUNK, "switched protocols unasked"),
        (aiohttp.ServerDisconnectedError(), FailureKind.RESET, "closed before reply"),
        (aiohttp.ClientPayloadError("secret"), FailureKind.TRUNCATED, "reply cut short"),
        (ConnectionResetError(errno.ECONNRESET, "x"), FailureKind.RESET, "connection reset"),
        (BrokenPipeError(errno.EPIPE, "x"), FailureKind.RESET, "connection closed while sending"),
        (TimeoutError(errno.ETIMEDOUT, "x"), FailureKind.RESET, "connection timed out"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "secret"), FailureKind.RESET, "connection reset"),
        (aiohttp.ClientConnectionResetError("secret"), FailureKind.RESET, "connection lost"),
        (aiohttp.InvalidURL("http://secret"), FailureKind.MISCONFIGURED, "URL cannot be used"),
        (socket.gaierror(socket.EAI_NONAME, "x"), FailureKind.DNS, "name not resolved"),
        (ssl.SSLError(1, "x"), FailureKind.TLS, "tls failed"),
    ],
)
def test_failure_says_what_happened_in_fixed_words(error: BaseException, kind: FailureKind, reason: str) -> None:
    failure = failure_of(error)

    assert (failure.kind, failure.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ECONNREFUSED, FailureKind.CONNECT, "connection refused"),
        (errno.EHOSTUNREACH, FailureKind.CONNECT, "no route to host"),
        (errno.ENETUNREACH, FailureKind.CONNECT, "network unreachable"),
        (errno.EMFILE, FailureKind.LOCAL, "too many open files"),
        (errno.ETIMEDOUT, FailureKind.CONNECT_TIMEOUT, "connection timed out"),
        (errno.ECONNRESET, FailureKind.TLS, "connection reset in the handshake"),
    ],
)
def test_error_while_connecting_is_told_by_the_system(number: int, kind: FailureKind, reason: str) -> None:
    cause = OSError(number, "x")
    failure = failure_of(after(aiohttp.ClientConnectorError(KEY, cause), cause))

    assert (failure.kind, failure.reason) == (kind, reason)


def test_reset_right_after_a_connect_without_tls_is_a_reset() -> None:
    cause = OSError(errno.ECONNRESET, "x")
    failure = failure_of(after(aiohttp.ClientConnectorError(KEY._replace(is_ssl=False), cause), cause))

    assert (failure.kind, failure.reason) == (FailureKind.RESET, "connection reset")


def test_reset_is_found_under_another_name() -> None:
    error = after(aiohttp.ClientPayloadError("not completed"), ConnectionResetError(errno.ECONNRESET, "x"))

    assert failure_of(error).kind is FailureKind.RESET


def test_error_of_an_outbound_proxy_is_a_failure_to_connect() -> None:
    cause = ConnectionRefusedError(errno.ECONNREFUSED, "x")
    failure = failure_of(after(aiohttp.ClientProxyConnectionError(KEY, cause), cause))

    assert (failure.kind, failure.reason) == (FailureKind.CONNECT, "outbound proxy: connection refused")


def test_certificate_error_gives_openssls_reason() -> None:
    cause = ssl.SSLCertVerificationError(1, "x")
    cause.verify_message = "self-signed certificate"
    failure = failure_of(after(aiohttp.ClientConnectorCertificateError(KEY, cause), cause))

    assert (failure.kind, failure.reason) == (FailureKind.TLS, "certificate verify failed: self-signed certificate")


def test_circular_causes_end() -> None:
    error, cause = aiohttp.ClientOSError(), OSError()
    error.__cause__, cause.__cause__ = cause, error

    assert failure_of(error).kind is FailureKind.RESET
