"""Who may talk to the proxy: nobody's web page, nobody who reached it by a foreign name, and only who knows the key.

A proxy on localhost is within reach of every web page its user opens. A page cannot choose the `Host` of a request
(which stops DNS rebinding), cannot hide its `Origin`, and cannot send JSON across origins without asking first.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from application.errors import InvalidRequest, ProxyError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class NotAllowed(ProxyError):
    """The request comes from where it must not come from."""

    status = 403
    type = "invalid_request_error"
    should_retry = False

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class WrongKey(ProxyError):
    """The client's key is none of the proxy's."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"
    should_retry = False

    def __init__(self) -> None:
        super().__init__("This proxy needs one of its own api_keys, as 'Authorization: Bearer KEY' or 'api-key: KEY'.")


class Guard:
    """Decides by a request's headers alone. Keys are kept and compared as digests."""

    def __init__(
        self,
        bind_address: str,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        api_keys: Iterable[str] = (),
    ) -> None:
        own = f"[{bind_address}]" if ":" in bind_address else bind_address
        self._hosts = LOOPBACK_NAMES | {own.lower()} | {host.lower() for host in allowed_hosts}
        self._is_known = lru_cache(maxsize=32)(self._knows)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._keys = frozenset(_digest(key.encode()) for key in api_keys)

    @property
    def needs_key(self) -> bool:
        """Does the proxy have keys of its own? Then the client's credential is ours, and no provider may see it."""
        return bool(self._keys)

    def check(self, headers: dict[bytes, bytes], *, key: bool = True) -> None:
        """Raises `NotAllowed`, or `WrongKey` where a key is needed. `headers` by lower-case name."""
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() not in self._origins:
            raise NotAllowed(
                "Requests of web pages are refused; allowed_origins names exceptions.", "origin_not_allowed"
            )
        if not self._keys:
            if not self._is_known(headers.get(b"host", b"")):
                raise NotAllowed(
                    "This proxy is not known by the host name of this request;"
                    " add it to allowed_hosts if it should be.",
                    "host_not_allowed",
                )
        elif key and not self._has_key(headers):
            raise WrongKey

    def _knows(self, raw_host: bytes) -> bool:
        host = raw_host.decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return name in self._hosts or host in self._hosts

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = (token.strip() if scheme.lower() == b"bearer" else b"", headers.get(b"api-key", b""))
        return any(_digest(value) in self._keys for value in given if value)


def check_no_page(headers: dict[bytes, bytes]) -> None:
    """For routes that take any body: no page of another site, also where browsers send no `Origin` (images, frames)."""
    if headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and b"origin" not in headers:
        raise NotAllowed("Requests of web pages are refused.", "origin_not_allowed")


def check_upgrade(headers: dict[bytes, bytes]) -> None:
    """WebSockets are not served: raises `InvalidRequest` (426). Other upgrades may be ignored (RFC 9110, 7.8)."""
    upgrade = headers.get(b"upgrade")
    if upgrade is not None and upgrade.strip().lower() == b"websocket":
        raise InvalidRequest(
            "WebSockets are not served here; use the HTTP API, with stream: true where events are wanted.",
            code="upgrade_not_served",
            status=426,
        )


def check_json(headers: dict[bytes, bytes]) -> None:
    """Only JSON that is not compressed: raises `InvalidRequest` with status 415."""
    if not _is_json(headers.get(b"content-type", b"")):
        raise InvalidRequest(
            "The body must be JSON: send 'content-type: application/json'.", code="unsupported_media_type", status=415
        )
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise InvalidRequest(
            "A compressed request body is not accepted; send it as it is.", code="unsupported_encoding", status=415
        )


@lru_cache(maxsize=32)
def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
