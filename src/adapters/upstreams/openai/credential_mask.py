"""Takes an endpoint's own credential out of what its provider says: some quote the key that they refuse, in a message,
a code, a header or a debug page. Only what failed is looked through: what a model answers knows no key.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from msgspec import structs

from application.messages import Headers, WholeReply, header
from domain.failure import Failure

MASK = "***"
SHORTEST = 8  # characters of a credential that is looked for: a shorter one stands in innocent words too
_HTML_SAFE = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "&<>"})  # Go's encoding/json, Ruby on Rails
_DOTNET = str.maketrans({"\\": "\\\\"} | {mark: f"\\u{ord(mark):04X}" for mark in "\"&'+<>`"})  # System.Text.Json
MAX_INFLATED_BYTES = 64 * 1024  # how much of a zipped error is read, and relayed plain


class CredentialMask:
    def __init__(self, credentials: Iterable[str]) -> None:
        """`credentials`: keys and tokens, with or without a scheme such as `Bearer` before them."""
        bare = (text.rpartition(" ")[2] for text in credentials)
        spellings = {spelling for text in bare if len(text) >= SHORTEST for spelling in _spellings(text)}
        self._texts: Sequence[str] = sorted(spellings, key=len, reverse=True)
        self._raw = [text.encode() for text in self._texts]

    def text(self, said: str) -> str:
        for text in self._texts:
            said = said.replace(text, MASK)
        return said

    def data(self, said: bytes) -> bytes:
        for raw in self._raw:
            said = said.replace(raw, MASK.encode())
        return said

    def failure(self, failure: Failure) -> Failure:
        reason = self.text(failure.reason)
        return failure if reason == failure.reason else structs.replace(failure, reason=reason)

    def reply(self, reply: WholeReply) -> WholeReply:
        """As a client may see it. A zipped body is relayed plain; what cannot be read is left out."""
        headers: Headers = tuple((name, self.text(value)) for name, value in reply.headers)
        coding = (header(headers, "content-encoding") or "identity").strip().lower()
        body = reply.body
        if coding not in ("identity", ""):
            body = _inflated(body)
            headers = tuple(pair for pair in headers if pair[0] != "content-encoding")
        return WholeReply(reply.status, headers, self.data(body))


NO_MASK = CredentialMask(())  # for endpoints that have no credential of their own


def _spellings(text: str) -> set[str]:
    """As it is, in JSON (also where a slash is escaped, or what means something in HTML), and in a URL."""
    in_json = json.dumps(text)[1:-1]
    escaped = {in_json.replace("/", "\\/"), in_json.translate(_HTML_SAFE), text.translate(_DOTNET)}
    return {text, in_json, quote(text, safe=""), quote(text)} | escaped


def _inflated(body: bytes) -> bytes:
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib, as the header says; bare deflate
        try:
            return zlib.decompressobj(bits).decompress(body, MAX_INFLATED_BYTES)
        except zlib.error:
            continue
    return b""
