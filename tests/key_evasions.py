"""Ways around a key, as a table: requests by somebody who has no key, or has it in a place where it does not count.

`KEY` is one of the proxy's own keys; nothing in a request is what was agreed on: `Authorization: Bearer KEY` or
`api-key: KEY`, once.
"""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

KEY = b"Own-Key-0123456789"
UPSTREAM_KEY = b"sk-hidden-upstream-key"
MODEL = b"zebra"
"""A group that is asked for; what nobody may see says `hidden`."""


class Evasion(NamedTuple):
    """One request."""

    method: bytes
    target: bytes
    headers: tuple[bytes, ...]
    body: bytes
    host: bytes = b"localhost"

    def sent(self) -> bytes:
        lines = [b"%b %b HTTP/1.1" % (self.method, self.target), b"host: " + self.host, *self.headers]
        if self.body:
            lines.append(b"content-type: application/json\r\ncontent-length: %d" % len(self.body))
        return b"\r\n".join([*lines, b"", self.body])


_B64 = base64.b64encode
_WRONG_TOKENS = [
    *(b"", b" ", b"null", b"undefined", b"None", b"nil", b"true", b"0", b"*", b"[]", b"{}", b"''", b'""', b"%00"),
    *(KEY[:-1], KEY[1:], KEY + b"x", b"x" + KEY, KEY + b"/", KEY + b";", KEY + b",", b"," + KEY, KEY + b".", KEY * 2),
    *(KEY + b" " + KEY, KEY + b"," + KEY, KEY + b", Bearer " + KEY, b"x, Bearer " + KEY, b"Bearer " + KEY),
    *(b'"' + KEY + b'"', b"'" + KEY + b"'", b"<" + KEY + b">", b"{" + KEY + b"}", b"key=" + KEY, b"token=" + KEY),
    *(KEY.upper(), KEY.lower(), KEY.swapcase(), KEY[::-1], KEY.replace(b"-", b"%2D"), KEY.replace(b"-", b"%252D")),
    *(b"".join(b"%%%02X" % byte for byte in KEY), KEY + b"%00", KEY + b"%20", KEY + b"\xa0", b"\xa0" + KEY),
    *(KEY.decode().replace("-", "\u2010").encode(), KEY.decode().replace("O", "\uff2f").encode()),
    *(KEY.decode().replace("e", "\u0435").encode(), KEY + "\u200b".encode(), "\ufeff".encode() + KEY),
    *(hashlib.sha256(KEY).hexdigest().encode(), _B64(KEY), KEY.hex().encode(), hashlib.md5(KEY).hexdigest().encode()),
    *(UPSTREAM_KEY, b"sk-proj-" + KEY, b"' or 1=1 --", b"../" + KEY, b"$" + KEY, b"${KEY}", b"\\" + KEY, b"?" * 60),
    *(b"a" * 8000, _B64(KEY + b":"), KEY + b"\x80", KEY + b"#", b"+" + KEY, KEY + b"\t" + KEY),
]
_OTHER_PLACES = [
    *(b"authorization: " + KEY, b"authorization: Bearer" + KEY, b"authorization: Bearer:" + KEY),
    *(b"authorization: Bearer=" + KEY, b"authorization: Bearer\t" + KEY, b"authorization: Bearer,%b" % KEY),
    *(b"authorization: Basic " + KEY, b"authorization: Basic " + _B64(b":" + KEY), b"authorization: Token " + KEY),
    *(b"authorization: Basic " + _B64(KEY + b":"), b"authorization: Basic " + _B64(b"Bearer " + KEY)),
    *(b"authorization: Digest " + KEY, b"authorization: ApiKey " + KEY, b"authorization: Key " + KEY),
    *(b"authorization: api-key " + KEY, b"authorization: Bearers " + KEY, b"authorization: xBearer " + KEY),
    *(b'authorization: "Bearer" ' + KEY, b"authorization: Negotiate " + KEY, b"authorization: AWS4-HMAC " + KEY),
    *(b"authorization:", b"authorization: Bearer", b"api-key:", b"api-key: Bearer " + KEY, b"api-key: " + KEY[:-1]),
    *(b"x-api-key: " + KEY, b"x-goog-api-key: " + KEY, b"ocp-apim-subscription-key: " + KEY, b"apikey: " + KEY),
    *(b"api_key: " + KEY, b"x-authorization: Bearer " + KEY, b"proxy-authorization: Bearer " + KEY),
    *(b"http-authorization: Bearer " + KEY, b"x-forwarded-authorization: Bearer " + KEY, b"token: " + KEY),
    *(b"authorization-x: Bearer " + KEY, b"x-original-authorization: Bearer " + KEY, b"openai-api-key: " + KEY),
    *(b"authorization_: Bearer " + KEY, b"Author1zation: Bearer " + KEY, b"openai-organization: " + KEY),
    *(b"cookie: authorization=Bearer " + KEY, b"cookie: api-key=%b; key=%b" % (KEY, KEY), b"x-access-token: " + KEY),
    *(b"sec-websocket-protocol: realtime, openai-insecure-api-key." + KEY, b"www-authenticate: Bearer " + KEY),
    *(b"connection: authorization\r\nx-api-key: " + KEY, b"te: trailers, authorization", b"from: " + KEY),
    *(b"referer: http://localhost/?api-key=" + KEY, b"user-agent: " + KEY, b"x-llmproxy-key: " + KEY),
    # Twice: one would be looked at here, and the other there.
    *(b"authorization: x\r\nauthorization: Bearer " + KEY, b"authorization: Bearer %b\r\nauthorization: x" % KEY),
    *(b"api-key: x\r\napi-key: " + KEY, b"api-key: %b\r\nAPI-KEY: x" % KEY, b"api-key: %b\r\napi-key: %b" % (KEY, KEY)),
    *(b"authorization: Basic eA==\r\nAuthorization: Bearer " + KEY, b"api-key: %b, %b" % (KEY, KEY)),
    # What is no header at all.
    *(b"authorization : Bearer " + KEY, b" authorization: Bearer " + KEY, b"x: y\nauthorization: Bearer " + KEY),
    *(b"x: y\rauthorization: Bearer " + KEY, b"authorization:\r\n Bearer " + KEY, b"authorization: Bearer\r\n " + KEY),
    *(b"authorization\0: Bearer " + KEY, b"authorization: Bearer %b\0" % KEY, b"authorization: Bearer \0" + KEY),
    *(b"x:\r\n authorization: Bearer " + KEY, b"authorization", b"(authorization): Bearer " + KEY),
]
CREDENTIALS: list[tuple[bytes, ...]] = [
    (),
    *((b"authorization: Bearer " + token,) for token in _WRONG_TOKENS),
    *((b"api-key: " + token,) for token in _WRONG_TOKENS if token.strip()),
    *((line,) for line in _OTHER_PLACES),
]
SOME_CREDENTIALS: list[tuple[bytes, ...]] = [
    (),
    (b"authorization: Bearer " + UPSTREAM_KEY,),
    (b"authorization: Basic " + _B64(KEY + b":"),),
    (b"x-api-key: " + KEY, b"cookie: api-key=" + KEY),
]

_CALLS = [
    *((b"POST", path) for path in (b"/v1/chat/completions", b"/v1/responses", b"/v1/embeddings", b"/v1/completions")),
    *((b"POST", path) for path in (b"/v1/moderations", b"/v1/files", b"/v1/audio/speech", b"/v1/responses/compact")),
    (b"POST", b"/openai/deployments/zebra/chat/completions?api-version=2024-10-21"),
    *((b"GET", path) for path in (b"/v1/models", b"/v1/models/zebra", b"/status", b"/v1/responses/resp_0123456789")),
    *((b"GET", path) for path in (b"/v1/files", b"/v1/organization/usage", b"/v1/chat/completions", b"/v1/unknown")),
    (b"DELETE", b"/v1/responses/resp_0123456789"),
]
_TARGETS = [
    *(b"/v1/models", b"/V1/MODELS", b"/v1/Models", b"/models", b"//v1/models", b"/v1//models", b"/v1/v1/models"),
    *(b"/v1/models/", b"/v1/models//", b"/./v1/models", b"/v1/./models", b"/v1/x/../models", b"/v1/models/.", b"/v1"),
    *(b"/health/../v1/models", b"/health/live/../../v1/models", b"/health/%2e%2e/v1/models", b"/health/..%2fv1/models"),
    *(b"/health/live/..;/..;/v1/models", b"/health;/v1/models", b"/v1/models;/health/live", b"/v1/models;x=y"),
    *(b"/v1/models?/health/live", b"/v1/models%3f/health/live", b"/v1/models#/health/live", b"/health/live#/v1/models"),
    *(b"/v1/models%00", b"/v1/models%00/health/live", b"/v1/models%20", b"/v1/models%0d%0a", b"/v1/mod%65ls"),
    *(b"/%76%31/models", b"/v1%2fmodels", b"/v1%252fmodels", b"%2fv1/models", b"\\v1\\models", b"/v1\\models"),
    *(b"/v1/models.json", b"/v1/models/health/live", b"/v1/models/../health/live", b"/health/live/v1/models"),
    *(b"/health/v1/models", b"/healthz/../v1/models", b"/openai/v1/models", b"/openai/models", b"/favicon.ico"),
    *(b"http://localhost/v1/models", b"HTTP://LOCALHOST/v1/models", b"http://evil.example/v1/models"),
    *(b"http://localhost/health/live/../../v1/models", b"https://127.0.0.1:4000/v1/models", b"http://localhost"),
    *(b"http://localhost@evil/v1/models", b"http:///v1/models", b"//localhost/v1/models", b"///v1/models", b"*"),
    *(b"localhost:4000", b"/v1/models/zebra", b"/v1/models/%7aebra", b"/v1/models/hidden%2Fgroup", b"/status/"),
    *(b"/status", b"//status", b"/STATUS", b"/status;", b"/status?format=json", b"/health/../status", b"/./status"),
    *(b"/v1/chat/completions", b"/V1/Chat/Completions", b"/v1//chat/completions", b"/v1/chat/completions/"),
    *(b"/health/live/../../v1/chat/completions", b"/health/..%2fv1/chat/completions", b"/v1/chat%2fcompletions"),
    *(b"http://localhost/v1/chat/completions", b"http://evil.example/v1/chat/completions", b"/openai/v1/responses"),
    *(b"/v1/models?api-key=" + KEY, b"/v1/models?api_key=" + KEY, b"/v1/models?key=" + KEY, b"/v1/models?" + KEY),
    *(b"/v1/chat/completions?api-key=" + KEY, b"/v1/chat/completions?access_token=" + KEY, b"/status?token=" + KEY),
    *(b"/v1/chat/completions?authorization=Bearer%20" + KEY, b"/v1/%b/models" % KEY, b"/%b/v1/models" % KEY),
]
_METHODS = (b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT")
_TRICKS = [
    *(b"x-original-url: /health/live", b"x-rewrite-url: /health/live", b"x-original-url: /v1/models"),
    *(b"x-forwarded-for: 127.0.0.1", b"x-real-ip: 127.0.0.1", b"x-client-ip: ::1", b"x-forwarded-host: localhost"),
    *(b"forwarded: for=127.0.0.1;host=localhost", b"x-forwarded-proto: https", b"x-forwarded-prefix: /health"),
    *(b"x-http-method-override: OPTIONS", b"x-http-method-override: HEAD", b"x-method-override: OPTIONS"),
    *(b"origin: null", b"origin: http://localhost", b"sec-fetch-site: same-origin", b"upgrade: h2c"),
    *(b"access-control-request-method: POST\r\norigin: http://localhost", b"x-llmproxy-endpoint: hidden/1"),
    *(b"connection: authorization, host", b"x-forwarded-user: admin", b"x-remote-user: root", b"x-authenticated: 1"),
    *(b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==",),
    *(b"expect: 100-continue", b"content-encoding: gzip", b"x-stainless-raw-response: true", b"purpose: prefetch"),
]
_HOSTS = (b"127.0.0.1", b"localhost:4000", b"evil.example", b"", b"localhost, evil", b"localhost/health", b"[::1]")


def call(method: bytes, target: bytes, headers: tuple[bytes, ...], host: bytes = b"localhost") -> Evasion:
    """A request with a body where it needs one."""
    body = b'{"model":"zebra","messages":[],"input":"x","prompt":"x","stream":false}' if method == b"POST" else b""
    return Evasion(method, target, headers, body, host)


def evasions() -> Iterator[Evasion]:
    """All of them."""
    for headers, (method, path) in itertools.product(CREDENTIALS, _CALLS[::2]):
        yield call(method, path, headers)
    for headers, target, method in itertools.product(SOME_CREDENTIALS, _TARGETS, _METHODS):
        yield call(method, target, headers)
    for trick, headers, (method, path) in itertools.product(_TRICKS, SOME_CREDENTIALS, _CALLS[::3]):
        yield call(method, path, (trick, *headers))
    for host, headers, (method, path) in itertools.product(_HOSTS, SOME_CREDENTIALS, _CALLS[::3]):
        yield call(method, path, headers, host)
