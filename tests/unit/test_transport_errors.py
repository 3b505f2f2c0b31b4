"""Every exception of httpx has a meaning; our own transport's say what happened, of others the system's word counts."""

import errno
import inspect
import socket
import ssl
from itertools import pairwise
from types import ModuleType

import httpx
import pytest

from adapters.upstreams.http1 import failures
from adapters.upstreams.httpx import transport
from adapters.upstreams.httpx.transport_errors import LIBRARY_ERRORS, ROWS, failure_of
from application.ports import UpstreamFailed
from domain.failure import Failure, FailureKind


def raised(module: ModuleType) -> list[type[BaseException]]:
    """The exceptions of a library that a call may raise."""
    found = [getattr(module, name) for name in module.__all__]
    return [thing for thing in found if inspect.isclass(thing) and issubclass(thing, LIBRARY_ERRORS)]


def after(*chain: BaseException) -> BaseException:
    """The first of these, raised because of the second, and so on."""
    for error, cause in pairwise(chain):
        error.__cause__ = cause
    return chain[0]


HTTP1_FAILURES = [each for each in vars(failures).values() if isinstance(each, Failure)]


@pytest.mark.parametrize("cls", raised(httpx))
def test_every_exception_of_httpx_has_a_row_of_its_own(cls: type[BaseException]) -> None:
    assert cls in ROWS


@pytest.mark.parametrize("failure", HTTP1_FAILURES, ids=str)
@pytest.mark.parametrize("in_body", [False, True])
def test_what_http1_says_comes_through_httpx_word_for_word(failure: Failure, in_body: bool) -> None:
    failed = UpstreamFailed(failure)
    error = transport._error(failed)

    assert failure.kind in transport._ERRORS
    assert failure_of(after(error, failed), in_body=in_body) == failure


@pytest.mark.parametrize("failure", HTTP1_FAILURES, ids=str)
def test_a_client_of_httpx_that_knows_nothing_of_http1_is_told_the_kind_all_the_same(failure: Failure) -> None:
    error = transport._error(UpstreamFailed(failure))
    broader = {
        FailureKind.DNS: FailureKind.CONNECT,
        FailureKind.TLS: FailureKind.CONNECT,
        FailureKind.IDLE_TIMEOUT: FailureKind.FIRST_BYTE_TIMEOUT,
        FailureKind.TRUNCATED: FailureKind.JUNK,
    }

    assert failure_of(error).kind is broader.get(failure.kind, failure.kind)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ReadTimeout("secret"), failures.SLOW_HEAD),
        (httpx.WriteTimeout("secret"), failures.SLOW_HEAD),
        (TimeoutError(), failures.SLOW_HEAD),
        (httpx.ConnectTimeout("secret"), failures.SLOW_CONNECT),
        (httpx.PoolTimeout("secret"), failures.NO_SLOT),
        (httpx.RemoteProtocolError("secret"), failures.NOT_HTTP),
        (httpx.LocalProtocolError("secret"), failures.NOT_HTTP),
        (httpx.ReadError("secret"), failures.LOST),
        (httpx.UnsupportedProtocol("secret"), failures.BAD_URL),
        (httpx.InvalidURL("secret"), failures.BAD_URL),
        (httpx.ProxyError("secret"), failures.PROXY_FAILED),
        (socket.gaierror(socket.EAI_NONAME, "secret"), failures.NO_NAME),
        (ssl.SSLError(1, "secret"), Failure(FailureKind.TLS, "tls failed")),
        (ConnectionResetError(errno.ECONNRESET, "secret"), Failure(FailureKind.RESET, "connection reset")),
        (BrokenPipeError(errno.EPIPE, "x"), Failure(FailureKind.RESET, "connection closed while sending")),
        (TimeoutError(errno.ETIMEDOUT, "x"), Failure(FailureKind.RESET, "connection timed out")),
    ],
    ids=repr,
)
def test_failure_says_what_happened_in_fixed_words(error: BaseException, failure: Failure) -> None:
    assert failure_of(error) == failure


def test_a_timeout_in_the_body_is_a_stalled_reply() -> None:
    assert failure_of(httpx.ReadTimeout("x"), in_body=True) == failures.SLOW_BODY


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ECONNREFUSED, FailureKind.CONNECT, "connection refused"),
        (errno.EHOSTUNREACH, FailureKind.CONNECT, "no route to host"),
        (errno.ENETUNREACH, FailureKind.CONNECT, "network unreachable"),
        (errno.EMFILE, FailureKind.LOCAL, "too many open files"),
        (errno.ETIMEDOUT, FailureKind.CONNECT_TIMEOUT, "connection timed out"),
        (errno.ECONNRESET, FailureKind.RESET, "connection reset"),
    ],
)
def test_error_while_connecting_is_told_by_the_system(number: int, kind: FailureKind, reason: str) -> None:
    error = after(httpx.ConnectError("All connection attempts failed"), OSError("failed"), OSError(number, "x"))

    assert failure_of(error) == Failure(kind, reason)


@pytest.mark.parametrize(
    ("chain", "failure"),
    [
        (
            (httpx.ReadError(""), OSError(), ConnectionResetError(errno.ECONNRESET, "x")),
            Failure(FailureKind.RESET, "connection reset"),
        ),
        (
            (httpx.ProxyError("x"), ConnectionRefusedError(errno.ECONNREFUSED, "x")),
            Failure(FailureKind.CONNECT, "outbound proxy: connection refused"),
        ),
        ((httpx.ConnectError("x"), socket.gaierror(socket.EAI_NONAME, "x")), failures.NO_NAME),
    ],
    ids=["reset", "outbound proxy", "name"],
)
def test_what_happened_is_found_under_another_name(chain: tuple[BaseException, ...], failure: Failure) -> None:
    assert failure_of(after(*chain)) == failure


def test_certificate_error_gives_openssls_reason() -> None:
    cause = ssl.SSLCertVerificationError(1, "x")
    cause.verify_message = "self-signed certificate"

    assert failure_of(after(httpx.ConnectError("x"), cause)) == Failure(
        FailureKind.TLS, "certificate verify failed: self-signed certificate"
    )


def test_circular_causes_end() -> None:
    error, cause = httpx.ReadError("x"), OSError()
    error.__cause__, cause.__cause__ = cause, error

    assert failure_of(error).kind is FailureKind.RESET
