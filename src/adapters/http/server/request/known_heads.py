"""Heads that were read before, byte for byte: a client sends the same again and again, but for the body's length.

Only what llhttp accepted gets in, and a head is found again only if all its bytes but the digits of its
`content-length` are the same: so what is found here is what llhttp would say once more. Keys hold the credentials of
clients, so they are held no longer than others leave them their place.
"""

from adapters.http.server.request.head import RequestHead

LONGEST_HEAD_BYTES = 4 * 1024
"""Longer heads are not remembered. Tokens of Entra ID have up to two thousand letters."""

MAX_BYTES = 4 << 20

_HEAD_END = b"\r\n\r\n"
_LENGTH, _LOWER_LENGTH = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_MOST_DIGITS = 15
_ENTRY_BYTES, _HEADER_BYTES, _COPIES = 2048, 450, 4
"""About what one takes, each of its headers, and how often its bytes are there, with what is found out about it. A test
holds it against what tracemalloc sees."""


Spelling = tuple[bytes, int, int | None]
"""A head as it came, but for the digits of its length; where it ends; the length of the body, None = it does not say,
or not in the usual way."""


def spelling_of(data: bytes) -> Spelling | None:
    """The head that `data` begins with; None = it is not whole, or not one that is remembered."""
    at = data.find(_HEAD_END, 0, LONGEST_HEAD_BYTES)
    if at <= 0:
        return None
    head = data[:at]
    before, name, after = head.partition(_LENGTH)
    if not name:
        before, name, after = head.partition(_LOWER_LENGTH)
        if not name:
            return head, at + len(_HEAD_END), None
    digits, end, others = after.partition(b"\r")
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    return before + name + end + others, at + len(_HEAD_END), int(digits)


class KnownHeads:
    """Those of one server, in two generations: when the younger is full it becomes the elder, whose heads come back
    when they are met again. So heads that come once each do not drive out those that come again and again."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` is about what both generations take in memory."""
        self._most_bytes = max_bytes // 2
        self._young: dict[bytes, RequestHead] = {}
        self._old: dict[bytes, RequestHead] = {}
        self._young_bytes = 0

    def forget(self) -> None:
        """All of them, and what was found out about them."""
        self._young, self._old, self._young_bytes = {}, {}, 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, key: bytes) -> RequestHead | None:
        """The head that was read from the same bytes; None = it is not known, or not any more."""
        head = self._young.get(key)
        if head is None:
            head = self._old.pop(key, None)
            if head is not None:
                self.add(key, head)
        return head

    def add(self, key: bytes, head: RequestHead) -> None:
        """It was accepted, and so is every other that is the same."""
        self._young[key] = head
        self._young_bytes += _ENTRY_BYTES + _HEADER_BYTES * len(head.headers) + _COPIES * len(key)
        if self._young_bytes > self._most_bytes:
            self._old, self._young = self._young, {}
            self._young_bytes = 0
