"""What stands before the body of a request."""

from typing import Any


class RequestHead:
    """A head that was read and found good. Requests whose heads differ in the length of the body alone share one."""

    __slots__ = (
        "by_name", "has_length", "headers", "http_version", "is_chunked", "is_http10", "judged", "keeps", "method",
        "path", "query_string", "raw_path", "told", "waits_for_100",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        http_version: str,
        raw_path: bytes,
        path: str,
        query_string: bytes,
        headers: list[tuple[bytes, bytes]],
        *,
        keeps: bool,
        has_length: bool = False,
    ) -> None:
        self.method = method
        self.http_version = http_version
        """`1.1` or `1.0`."""
        self.is_http10 = http_version == "1.0"
        self.raw_path = raw_path
        """As it came, without query."""
        self.path = path
        """The same, percent-decoded."""
        self.query_string = query_string
        """As it came, without `?`."""
        self.headers = headers
        """In lower case and in their order, without `content-length`, which is the request's own."""
        self.by_name = by_name = dict(headers)
        self.keeps = keeps
        """May another request follow on the connection?"""
        self.has_length = has_length
        """Does the client say how long its body is?"""
        self.is_chunked = b"transfer-encoding" in by_name
        self.waits_for_100 = not self.is_http10 and by_name.get(b"expect", b"").lower() == b"100-continue"
        """Does the client keep its body back until it is told to go on?"""
        self.judged: Any = None
        """What the application found out about it, once it was found good; None = nothing yet."""
        self.told: tuple[str, str] | None = None
        """What the application writes into the log of it; None = nothing yet."""


NO_HEAD = RequestHead("", "1.1", b"", "", b"", [], keeps=False)
"""Of what is no request."""
