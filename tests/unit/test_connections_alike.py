"""Connections whose server remembers heads: each is read as if it were alone, whatever the others send."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.http.server.request.known_heads import KnownHeads
from tests.examples import examples
from tests.unit.http_read import Read, get, post, sized

_SECRET = get(headers=b"host: here\r\nauthorization: Bearer k\r\n")
_WHOLE = (get(), _SECRET, sized(b"abc"), post(b"Content-Length: 2\r\n", b"de"), post(b"x: 1\r\n", b""))
_BITS = (b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"X", b"0\r\n\r\n", post(b"transfer-encoding: chunked\r\n", b"1\r\na\r\n"))
_BEGUN = (b"POST /x HTTP/1.1\r\nx: ", b"GET /y HTTP/1.1\r\n", b"PO")
_PIECES = st.sampled_from((*_WHOLE, *_BITS, *_BEGUN))
_WHICH = st.sampled_from([0, 1])


class AnyConnections(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.heads = KnownHeads()
        self.sent: list[list[bytes]] = [[], []]
        self.read = [Read(heads=self.heads) for _ in self.sent]

    @rule(which=_WHICH, piece=_PIECES)
    def one_comes(self, which: int, piece: bytes) -> None:
        self.send(which, piece)

    @rule(which=_WHICH, piece=st.sampled_from(_WHOLE), at=st.integers(1, 40), more=st.just(b"") | _PIECES)
    def one_comes_in_two(self, which: int, piece: bytes, at: int, more: bytes) -> None:
        """With the second half comes what follows it."""
        self.send(which, piece[:at])
        self.send(which, piece[at:] + more)

    @rule(which=_WHICH)
    def blank_lines_come(self, which: int) -> None:
        self.send(which, b"\r\n\r\n")

    @rule(which=_WHICH)
    def another_connection_takes_its_place(self, which: int) -> None:
        self.sent[which] = []
        self.read[which] = Read(heads=self.heads)

    def send(self, which: int, piece: bytes) -> None:
        read = self.read[which]
        if piece and read.refusal is None:
            self.sent[which].append(piece)
            read.refusal = read.reader.feed(piece)

    @invariant()
    def each_is_read_as_if_it_were_alone(self) -> None:
        for read, sent in zip(self.read, self.sent, strict=True):
            assert read.told() == Read(*sent).told()


TestAnyConnections = AnyConnections.TestCase
TestAnyConnections.settings = settings(max_examples=examples(60), stateful_step_count=15, deadline=None)
