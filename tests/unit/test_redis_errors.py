"""Every exception of redis-py has a meaning, in words that give nothing away."""

import errno
import inspect
import socket
import ssl
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions
from redis._parsers.base import BaseParser
from redis.asyncio import sentinel

from adapters.stores.redis.errors import CODES, ROWS, Effect, Trouble, trouble_of
from adapters.stores.redis.resolver import SlowName

CANARY = "hunter2"


def exceptions_in(module: ModuleType) -> list[type[BaseException]]:
    return [thing for thing in vars(module).values() if inspect.isclass(thing) and issubclass(thing, BaseException)]


def after(error: BaseException, cause: BaseException, *, explicit: bool = False) -> BaseException:
    """The error as redis-py raises it while it handles `cause`."""
    error.__cause__ = cause if explicit else None
    error.__suppress_context__ = explicit
    error.__context__ = cause
    return error


@pytest.mark.parametrize("cls", exceptions_in(exceptions) + exceptions_in(sentinel))
def test_every_exception_of_the_library_has_a_row_of_its_own(cls: type[BaseException]) -> None:
    assert cls in ROWS


@pytest.mark.parametrize(
    ("reply", "effect", "reason"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", Effect.CLOSED, "wrong password or user"),
        ("NOAUTH Authentication required.", Effect.CLOSED, "wrong password or user"),
        ("ERR invalid password", Effect.CLOSED, "wrong password or user"),
        (f"NOPERM User {CANARY} has no permissions to run 'get'", Effect.FORBIDDEN, "the user lacks a permission"),
        ("LOADING Redis is loading the dataset in memory", Effect.CLOSED, "loading its data"),
        ("READONLY You can't write against a read only replica.", Effect.NOT_MASTER, "a read-only replica"),
        ("OOM command not allowed when used memory > 'maxmemory'.", Effect.NO_WRITES, "out of memory"),
        ("MISCONF Redis is configured to save RDB snapshots", Effect.NO_WRITES, "cannot save to its disk"),
        ("NOREPLICAS Not enough good replicas to write.", Effect.NO_WRITES, "too few replicas"),
        ("WRONGTYPE Operation against a key", Effect.NONE, "another type of value under this key"),
        ("BUSY Redis is busy running a script.", Effect.FAILED, "busy with a script"),
        ("MASTERDOWN Link with MASTER is down", Effect.FAILED, "a replica without its master"),
        ("CLUSTERDOWN Hash slot not served", Effect.FAILED, "the cluster is down"),
        ("MOVED 3999 127.0.0.1:6381", Effect.FAILED, "a cluster, but not configured as one"),
        ("ERR max number of clients reached", Effect.FAILED, "too many clients connected"),
        (f"ERR unknown command '{CANARY}'", Effect.FAILED, "command refused"),
        (CANARY, Effect.FAILED, "command refused"),
        ("", Effect.FAILED, "command refused"),
    ],
)
def test_what_redis_answers_is_told_apart(reply: str, effect: Effect, reason: str) -> None:
    assert trouble_of(BaseParser.parse_error(reply)) == Trouble(effect, reason)


@pytest.mark.parametrize(
    ("code", "effect"),
    [
        ("OOM", Effect.NO_WRITES),
        ("READONLY", Effect.NOT_MASTER),
        ("MISCONF", Effect.NO_WRITES),
        ("NOPERM", Effect.FORBIDDEN),
    ],
)
def test_what_a_command_in_a_script_was_told_is_found_in_its_wrapping(code: str, effect: Effect) -> None:
    wrapped = (
        f"ERR Error running script (call to f_0123): @user_script:1: @user_script: 1: -{code} command not allowed "
    )

    assert trouble_of(BaseParser.parse_error(wrapped)).effect is effect
    assert trouble_of(BaseParser.parse_error(f"{code} text script: 0123, on @user_script:1.")).effect is effect


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, CANARY), "connection refused"),
        (OSError(f"Multiple exceptions: [Errno 111] Connect call failed ('{CANARY}', 1), x"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, CANARY), "connection reset"),
        (FileNotFoundError(errno.ENOENT, CANARY), "no such socket"),
        (socket.gaierror(socket.EAI_NONAME, CANARY), "name not resolved"),
        (SlowName(CANARY), "name not resolved in time"),
        (ssl.SSLError(1, CANARY), "TLS: failed"),
        (OSError(CANARY), "connection lost"),
        (TimeoutError(), "timeout"),
    ],
)
@pytest.mark.parametrize("explicit", [True, False])
def test_a_lost_connection_says_what_the_system_said(cause: OSError, reason: str, explicit: bool) -> None:
    error = after(exceptions.ConnectionError(CANARY), cause, explicit=explicit)

    assert trouble_of(error) == Trouble(Effect.FAILED, reason)


def test_an_old_error_that_was_being_handled_is_not_the_cause() -> None:
    try:
        try:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "x")
        except OSError:
            raise exceptions.ConnectionError("Connection closed by server.") from None
    except exceptions.ConnectionError as error:
        assert trouble_of(error).reason == "connection lost"


def test_a_wrong_password_is_known_inside_the_wrapping_of_unix_sockets_and_clusters() -> None:
    wrong = exceptions.AuthenticationError(CANARY)

    for wrapper in (exceptions.ConnectionError(wrong), exceptions.RedisClusterException("cannot be connected")):
        assert trouble_of(after(wrapper, wrong, explicit=True)).effect is Effect.CLOSED


def test_errors_that_name_each_other_as_cause_end() -> None:
    first, second = exceptions.ConnectionError("x"), exceptions.ConnectionError("y")
    first.__cause__, second.__cause__ = second, first

    assert trouble_of(first).reason == "connection lost"


def test_a_cluster_of_which_no_node_answers_says_why() -> None:
    lost = after(exceptions.ConnectionError("x"), ConnectionRefusedError(errno.ECONNREFUSED, "x"))
    error = after(exceptions.RedisClusterException("Redis Cluster cannot be connected."), lost, explicit=True)

    assert trouble_of(error).reason == "connection refused"


def test_our_own_limits_are_not_held_against_redis() -> None:
    assert trouble_of(exceptions.MaxConnectionsError("Too many connections")).effect is Effect.BUSY


@pytest.mark.parametrize(
    "error", [ValueError(CANARY), KeyError(CANARY), RecursionError(), TimeoutError(), MemoryError()]
)
def test_anything_unexpected_counts_as_a_failure(error: Exception) -> None:
    assert trouble_of(error).effect is Effect.FAILED
    assert CANARY not in trouble_of(error).reason


@given(st.sampled_from([*CODES, "ERR", "WRONGPASS", "X", ""]), st.text())
def test_words_never_hold_what_redis_said(code: str, text: str) -> None:
    known = {row.reason for row in (*ROWS.values(), *CODES.values())} | {"too many clients connected"}

    assert trouble_of(BaseParser.parse_error(f"{code} {text}")).reason in known
