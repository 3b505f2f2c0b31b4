"""Holds what the provider received and what clients were answered against what was sent."""

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from bench.fuzz.cases import Case
from bench.fuzz.origins import foreign_parts
from bench.fuzz.provider import SEEN, TOKEN, said
from bench.fuzz.reading import Odd, Reply, replies_of, sent_of
from simulator.calls import Request

_KEPT = 200
_LEFT = 100
_NOT_OURS = 505
"""A client that asks for another version of HTTP is answered so."""


class Finding(NamedTuple):
    """What must not be. `case`: -1 = of none that is known."""

    kind: str
    case: int
    text: str


class Talk(NamedTuple):
    """What came back on a connection."""

    received: bytes
    end: str
    """`end` and `reset`: by the proxy; `silence`: by the client, which had waited long enough."""


class _Open:
    def __init__(self, case: Case, unmarked: int) -> None:
        self.case = case
        self.calls = 0
        self.unmarked = unmarked


class Judge:
    """Of one run."""

    def __init__(self, tell: Callable[[str], object] = lambda _: None) -> None:
        """`tell` is told of each finding at once."""
        self.tell = tell
        self.own: dict[bytes, Sequence[bytes]] = {}
        """The values that the proxy's own headers may have at the provider."""
        self.findings: list[Finding] = []
        self.kinds: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.calls = 0
        self._open: dict[bytes, _Open] = {}
        self._left: deque[_Open] = deque(maxlen=_LEFT)
        """Those whose clients left last: what they asked for may still be on its way."""
        self._known: dict[bytes, int] = {}
        self._unmarked = 0
        """Requests that lost their mark to the mutations: any client that is there may have sent them."""

    def found(self, kind: str, case: int, text: str) -> None:
        """Take it down."""
        self.kinds[kind] += 1
        self.tell(f"{kind}: case {case}: {text[:2000]}")
        if len(self.findings) < _KEPT:
            self.findings.append(Finding(kind, case, text))

    def began(self, case: Case) -> None:
        """It is about to be sent."""
        self._open[case.token] = _Open(case, self._unmarked)
        self._known[case.token] = case.number

    def received(self, request: Request) -> None:
        """By the provider."""
        self.calls += 1
        tokens = {token for token in TOKEN.findall(said(request)) if token in self._known}
        line = f"{request.method} {request.target[:200]}"
        if len(tokens) > 1:
            self.found("mixed", -1, f"{line} is of the cases {sorted(self._known[token] for token in tokens)}")
        if tokens and not tokens & self._open.keys():
            return  # its client has gone meanwhile
        self._unmarked += not tokens
        marked = [self._open[token] for token in tokens if token in self._open]
        candidates = marked or [*self._open.values(), *self._left]
        for each in candidates:
            foreign = foreign_parts(request, each.case.sent, self.own)
            if not foreign:
                each.calls += 1
                return
        number = candidates[0].case.number if len(candidates) == 1 else -1
        why = foreign if len(candidates) == 1 else "no client that is there"
        self.found("never sent", number, f"{line}: {why}; {request.headers} {request.body[:300]!r}")

    def ended(self, case: Case, talk: Talk) -> None:
        """What came back for it."""
        opened = self._open.pop(case.token)
        if talk.end == "silence":
            self._left.append(opened)
        sent = sent_of(case.sent)
        try:
            replies = replies_of(talk.received, [method for method, _, _ in sent.requests])
        except Odd as odd:
            return self.found("odd reply", case.number, f"{odd}: {talk.received[:500]!r}")
        for reply in replies.whole:
            self._check(case, reply)
        self.ends[talk.end] += 1
        if talk.end == "reset":
            self.found("reset", case.number, f"{len(replies.whole)} replies came before it")
        if sent.asks_for_end and talk.end == "silence":
            seen = f"{len(replies.whole)} replies to {len(sent.requests)} requests"
            self.found("no end", case.number, f"{seen}: {talk.received[-1500:]!r}")
        if talk.end == "end" and not replies.is_whole:
            self.found("cut reply", case.number, f"{talk.received[-300:]!r}")
        if sent.is_whole and len(replies.whole) > len(sent.requests):
            self.found("more replies", case.number, f"{len(replies.whole)} to {len(sent.requests)} requests")
        attempts = sum(int(reply.headers.get(b"x-llmproxy-attempts", b"0")) for reply in replies.whole)
        is_counted = not replies.is_switched and opened.unmarked == self._unmarked
        if talk.end == "end" and is_counted and opened.calls != attempts:
            reasons = [reply.headers.get(b"x-llmproxy-reasons", b"") for reply in replies.whole]
            self.found("calls", case.number, f"{opened.calls} calls arrived, replies tell of {attempts}: {reasons}")
        return None

    def _check(self, case: Case, reply: Reply) -> None:
        self.statuses[str(reply.status)] += 1
        code = _code_of(reply)
        if reply.status >= 500 and reply.status != _NOT_OURS:
            self.found("5xx", case.number, f"{reply.status} {reply.body[:300]!r}")
        if reply.status >= 400 and reply.headers.get(b"x-llmproxy-attempts", b"0") == b"0":
            self.codes[f"{reply.status} {code}"] += 1
            if reply.body and not code:
                self.found("no error", case.number, f"{reply.status} {reply.body[:300]!r}")
        of = self._known.get(reply.headers.get(SEEN, b""), case.number)
        if of != case.number and reply.headers.get(b"x-llmproxy-cache") not in (b"hit", b"shared"):
            self.found("another's reply", case.number, f"it is of {of}: {reply.headers} {reply.body[:300]!r}")


def _code_of(reply: Reply) -> str:
    """Of an error; empty = the body is none."""
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(reply.body)["error"]
        texts = (error["message"], error["type"], error["code"])
        if len(error) == len(texts) + 1 and "param" in error and all(isinstance(text, str) for text in texts):
            return str(error["code"])
    return ""
