"""What a running proxy says of its endpoints in `GET /status`, as far as routing goes by it."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from domain.health.cooldown import HealthState

KEY_VARIABLE = "LLMPROXY_API_KEY"
_ANSWER_S = 10.0
_MAX_BYTES = 64 << 20

_Amount = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]


class LiveLimit(Struct, frozen=True):
    """One limit of an endpoint's bucket. None = unknown."""

    limit: _Amount | None = None
    remaining: _Amount | None = None
    reset_s: _Amount | None = None


class LiveEndpoint(Struct, frozen=True):
    """One endpoint. Times are seconds from the moment of the status; 0 = none runs."""

    id: str
    state: HealthState = HealthState.CLOSED
    cooling_s: _Amount = 0.0
    clock_s: _Amount = 0.0
    """Of the provider's last 429."""
    ramp: _Count = 0
    in_flight: _Count = 0
    requests: LiveLimit | None = None
    tokens: LiveLimit | None = None
    why: str = ""
    """Why it rests, in the words of the proxy; empty = it does not, or nothing is known."""


class LiveGroup(Struct, frozen=True):
    model_group: str
    endpoints: tuple[LiveEndpoint, ...]
    waiting: _Count = 0


class LiveStatus(Struct, frozen=True):
    """The part of the document that is read; everything else may change."""

    groups: tuple[LiveGroup, ...]

    @property
    def endpoints(self) -> Sequence[LiveEndpoint]:
        """Those of all groups."""
        return [endpoint for group in self.groups for endpoint in group.endpoints]


class StatusUnreadable(Exception):
    """There is no status to be had; `str()` says why, and what to do."""


def read_status(source: str, key: str | None) -> LiveStatus:
    """The status at a URL, in a file, or on standard input (`-`). `key` is one of the proxy's own, sent to a URL only;
    None = the one in the environment, if there is any. Raises `StatusUnreadable`."""
    if source.startswith(("http://", "https://")):
        if "@" in source:
            raise StatusUnreadable("the URL of --status holds a credential; fix: give the proxy's key by --key instead")
        text = _fetched(source, key or os.environ.get(KEY_VARIABLE))
    else:
        try:
            text = sys.stdin.buffer.read(_MAX_BYTES) if source == "-" else Path(source).read_bytes()
        except (OSError, ValueError) as error:
            valid = "a file with the JSON of GET /status, its URL, or - for standard input"
            raise StatusUnreadable(f"--status {source}: {getattr(error, 'strerror', error)}; valid: {valid}") from None
    try:
        return msgspec.json.decode(text, type=LiveStatus)
    except (ValueError, RecursionError) as error:
        told = f"--status {source} is not what GET /status says: {error}"
        raise StatusUnreadable(f"{told}; fix: curl http://127.0.0.1:4000/status > status.json") from None


def _fetched(url: str, key: str | None) -> bytes:
    # Only here: to read a file takes nothing of this.
    from http.client import HTTPException  # noqa: PLC0415
    from urllib.error import HTTPError  # noqa: PLC0415
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener  # noqa: PLC0415

    class Stays(HTTPRedirectHandler):
        """A key is for the address that was given, and for no other."""

        def redirect_request(self, *_: object) -> None:
            return None

    if key is not None and not (key.isascii() and key.isprintable()):
        raise StatusUnreadable(
            f"the key for {url} has characters that no key has; fix: look at {KEY_VARIABLE} or --key"
        )
    fields = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        parts = urlsplit(url)
        whole = url if parts.path.strip("/") else parts._replace(path="/status").geturl()
        # Asked directly: the outbound proxies of the environment are for the way to providers.
        opener = build_opener(ProxyHandler({}), Stays)
        with opener.open(Request(whole, headers=fields), timeout=_ANSWER_S) as reply:  # noqa: S310 - http or https, see above
            return bytes(reply.read(_MAX_BYTES))
    except HTTPError as error:
        fix = (
            f"give one of the proxy's keys in {KEY_VARIABLE} or --key" if error.code == 401 else "give its GET /status"
        )
        raise StatusUnreadable(f"--status {whole} answered {error.code}; fix: {fix}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StatusUnreadable(f"--status {url} could not be asked: {reason}; fix: is the proxy running?") from None
