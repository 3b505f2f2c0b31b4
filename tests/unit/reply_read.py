"""A reply read piece by piece, and what came of it."""

from typing import Any

from adapters.upstreams.http1.reply import Http1Reply
from adapters.upstreams.http1.reply_reader import ReplyReader

OK = b"HTTP/1.1 200 OK\r\n"


class NoLine:
    """A connection that is asked for nothing."""

    loop: Any = None

    def wait_until(self, deadline: float) -> None: ...

    def go_on(self) -> None: ...

    def abort(self) -> None: ...


class Read:
    """What a reader makes of some bytes."""

    def __init__(self, *pieces: bytes, has_body: bool = True) -> None:
        self.reader = ReplyReader(64 * 1024)
        self.reply = Http1Reply(NoLine(), 1.0)
        self.reader.begin(self.reply, has_body=has_body)
        self.failure = None
        for piece in pieces:
            if self.reader.is_whole:
                self.reader.is_followed = True  # the connection sees to that: nobody has asked
                break
            self.failure = self.failure or self.reader.feed(piece)
        self.body = b"".join(self.reply._pieces)

    @property
    def is_clean(self) -> bool:
        reader = self.reader
        return self.failure is None and reader.is_whole and reader.is_kept and not reader.is_followed
