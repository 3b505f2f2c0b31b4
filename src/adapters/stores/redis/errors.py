"""What each exception of redis-py means for the store: one table, and the words that are shown for it.

The words are fixed: what Redis or the library says may hold keys, commands or addresses with passwords.
"""

import errno
import re
import socket
import ssl
from enum import Enum

from msgspec import Struct
from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError, SlaveNotFoundError

from adapters.stores.redis.resolver import SlowName
from adapters.system_errors import WORDS, causes


class Effect(Enum):
    """What an error says about Redis."""

    FAILED = "counts against it"
    CLOSED = "it will not serve us for now: leave it alone at once"
    FORBIDDEN = "our user may not do this; only a person can change that"
    NO_WRITES = "it serves reads alone"
    NOT_MASTER = "it serves reads alone, and the master is elsewhere: connect anew"
    BUSY = "it was not asked: no connection was free on our side"
    NONE = "it is well; what was asked for makes no sense there"


class Trouble(Struct, frozen=True):
    """An error, judged."""

    effect: Effect
    reason: str  # in fixed words: nothing secret, no key


BUSY = Trouble(Effect.BUSY, "busy")
TIMEOUT = Trouble(Effect.FAILED, "timeout")
SLOW_NAME = Trouble(Effect.FAILED, "name not resolved in time")
_UNEXPECTED = Trouble(Effect.FAILED, "unexpected error")
_LOST = Trouble(Effect.FAILED, "connection lost")
_CREDENTIALS = Trouble(Effect.CLOSED, "wrong password or user")
_CLUSTER = Trouble(Effect.FAILED, "the cluster cannot be reached")
_COMMAND = Trouble(Effect.FAILED, "command refused")

_MISUSES = (
    *(exceptions.DataError, exceptions.PubSubError, exceptions.WatchError, exceptions.LockError),
    *(exceptions.LockNotOwnedError, exceptions.ChildDeadlockedError, exceptions.CrossSlotTransactionError),
    *(exceptions.InvalidPipelineStack, exceptions.IncorrectPolicyType),
)

ROWS: dict[type[BaseException], Trouble] = {
    Exception: _UNEXPECTED,
    TimeoutError: TIMEOUT,
    OSError: _LOST,
    exceptions.RedisError: _UNEXPECTED,
    exceptions.ConnectionError: _LOST,
    exceptions.TimeoutError: TIMEOUT,
    exceptions.MaxConnectionsError: BUSY,
    exceptions.BusyLoadingError: Trouble(Effect.CLOSED, "loading its data"),
    exceptions.AuthenticationError: _CREDENTIALS,
    exceptions.AuthenticationWrongNumberOfArgsError: _CREDENTIALS,
    exceptions.AuthorizationError: _CREDENTIALS,
    exceptions.ExternalAuthProviderError: _CREDENTIALS,
    exceptions.NoPermissionError: Trouble(Effect.FORBIDDEN, "the user lacks a permission"),
    MasterNotFoundError: Trouble(Effect.FAILED, "the Sentinels know no master"),
    SlaveNotFoundError: Trouble(Effect.FAILED, "the Sentinels know no replica"),
    exceptions.InvalidResponse: Trouble(Effect.FAILED, "not a Redis reply"),
    exceptions.ResponseError: _COMMAND,
    exceptions.NoScriptError: Trouble(Effect.FAILED, "script not loaded"),
    exceptions.OutOfMemoryError: Trouble(Effect.NO_WRITES, "out of memory"),
    exceptions.ReadOnlyError: Trouble(Effect.NOT_MASTER, "a read-only replica"),
    exceptions.ClusterError: _CLUSTER,
    exceptions.ClusterDownError: Trouble(Effect.FAILED, "the cluster is down"),
    exceptions.MasterDownError: Trouble(Effect.FAILED, "a replica without its master"),
    exceptions.TryAgainError: Trouble(Effect.FAILED, "the cluster is moving slots"),
    exceptions.AskError: Trouble(Effect.FAILED, "the cluster is moving slots"),
    exceptions.MovedError: Trouble(Effect.FAILED, "a cluster, but not configured as one"),
    exceptions.SlotNotCoveredError: Trouble(Effect.FAILED, "a slot of the cluster is not served"),
    exceptions.RedisClusterException: _CLUSTER,
    exceptions.ClusterCrossSlotError: _COMMAND,
    exceptions.ExecAbortError: _COMMAND,
    exceptions.ModuleError: _COMMAND,
    exceptions.NoSuchFieldsetError: _COMMAND,
    **dict.fromkeys(_MISUSES, Trouble(Effect.FAILED, "refused by the client library")),
}

CODES = {
    "OOM": ROWS[exceptions.OutOfMemoryError],
    "READONLY": ROWS[exceptions.ReadOnlyError],
    "NOPERM": ROWS[exceptions.NoPermissionError],
    "NOAUTH": _CREDENTIALS,
    "LOADING": ROWS[exceptions.BusyLoadingError],
    "CLUSTERDOWN": ROWS[exceptions.ClusterDownError],
    "MASTERDOWN": ROWS[exceptions.MasterDownError],
    "MISCONF": Trouble(Effect.NO_WRITES, "cannot save to its disk"),
    "NOREPLICAS": Trouble(Effect.NO_WRITES, "too few replicas"),
    "BUSY": Trouble(Effect.FAILED, "busy with a script"),
    "WRONGTYPE": Trouble(Effect.NONE, "another type of value under this key"),
}
"""Error codes of Redis for which redis-py has no class, or that arrive wrapped."""

# Redis before 7 wraps what a command inside a script was told:
# "Error running script (call to f_...): @user_script:1: @user_script: 1: -OOM command not allowed ..."
_CODE = re.compile(r"(?:ERR )?(?:Error running script .{0,200}?: -)?([A-Z]+) ", re.DOTALL)
_ERRNO = re.compile(r"\[Errno ([0-9]{1,4})\]")

_SYSTEM_WORDS = WORDS | {
    errno.ETIMEDOUT: "timeout",
    errno.ENOENT: "no such socket",
    errno.EACCES: "no access to the socket",
}


def trouble_of(error: BaseException) -> Trouble:
    """What an error means. Any exception has a meaning."""
    for link in causes(error):
        # On a unix socket and in a cluster the library wraps what Redis said; else what the system said is within.
        trouble = _link_trouble(link)
        if trouble is not _LOST and trouble is not _CLUSTER:
            return trouble
    return _row(error)


def _link_trouble(error: BaseException) -> Trouble:
    if isinstance(error, exceptions.ResponseError):
        return _reply_trouble(error)
    if isinstance(error, OSError) and not isinstance(error, exceptions.RedisError):
        return _system_trouble(error)
    row = _row(error)
    text = str(error)
    if row is _LOST and "max number of clients" in text:
        return Trouble(Effect.FAILED, "too many clients connected")
    if row is _CLUSTER and text.startswith("Cluster mode is not enabled"):
        return Trouble(Effect.FAILED, "no cluster, though configured as one")
    return row


def _row(error: BaseException) -> Trouble:
    return next((ROWS[cls] for cls in type(error).__mro__ if cls in ROWS), _UNEXPECTED)


def _reply_trouble(error: exceptions.ResponseError) -> Trouble:
    row = _row(error)
    if row is not _COMMAND:
        return row
    code = _CODE.match(f"{error} ")
    return CODES.get(code[1], row) if code else row


def _system_trouble(error: OSError) -> Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble(Effect.FAILED, f"certificate verify failed: {error.verify_message}".removesuffix(": "))
    if isinstance(error, ssl.SSLError):
        # OpenSSL's reason comes from a fixed list; errors of Python's own have none.
        words = str(getattr(error, "reason", None) or "failed")
        return Trouble(Effect.FAILED, f"TLS: {words.replace('_', ' ').lower()}")
    if isinstance(error, SlowName):
        return SLOW_NAME
    if isinstance(error, socket.gaierror):
        return Trouble(Effect.FAILED, "name not resolved")
    if isinstance(error, TimeoutError):
        return TIMEOUT
    # asyncio tells of a name with several addresses "Multiple exceptions: [Errno 111] Connect call failed ..., ...".
    number = error.errno or next((int(found[1]) for found in _ERRNO.finditer(str(error))), 0)
    known = _SYSTEM_WORDS.get(number)
    return Trouble(Effect.FAILED, known) if known else _LOST
