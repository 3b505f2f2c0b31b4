"""Turns what a client sent into a `ProxyRequest`: only the fields the proxy acts on are decoded."""

import codecs
import hashlib
import json
from contextlib import suppress
from typing import NoReturn

import msgspec
from msgspec import Struct, structs

from adapters.http.bodies.content_codings import without_coding
from adapters.http.bodies.fields import Fields, choices, max_output_tokens
from adapters.http.headers import RawHeaders, forwarded
from adapters.http.paths.routes import Route
from application.body.model_key import TooManyKeys, may_stand_twice, model_keys
from application.body.narrowed import LARGE_BYTES, MAX_MARKS, Narrowed, has_too_many_marks
from application.body.readable import HALF
from application.errors import InvalidRequest
from application.messages import Api, Headers, ProxyRequest
from domain.bounded_memo import lengths, remembered
from domain.caching.cache_key import CacheControl
from domain.elided import elide_long_strings


class Arrival(Struct):
    """What a head says, if it may come in: the same for all requests that share it."""

    method: str
    query: str
    """As it came, without `?`; empty = none."""
    headers: dict[bytes, bytes]
    """By lower-case name."""
    onward: Headers
    """What goes on to any endpoint."""
    credentials: Headers
    """The client's own, where they go on: they do not where they are the proxy's."""
    client: str
    """See `ProxyRequest.client`."""
    tenant: str
    """See `ProxyRequest.tenant`."""
    cache_control: CacheControl
    patience_s: float | None
    key_name: str = ""
    """Of the proxy's own key that it came with, if that has one."""
    key_tenant: str = ""
    """The tenant of its key; empty = all keys are one tenant."""
    session: str = ""
    """What the client calls its session, as Codex does; empty = it names none."""
    route: Route | None = None
    """What it asks for; None = nobody has looked yet."""
    is_json: bool = False
    """Is its body known to be JSON, and not coded, as far as the head tells?"""

    @classmethod
    def of(
        cls,
        method: str,
        query: str,
        raw_headers: RawHeaders,
        headers: dict[bytes, bytes],
        *,
        keep_credentials: bool,
        key_name: str = "",
        key_tenant: str = "",
    ) -> "Arrival":
        """`headers`: the same by name. `keep_credentials`: do the client's go on?"""
        onward, credentials = forwarded(raw_headers)
        digest = _digest(credentials)
        control = cache_control(raw_headers) if b"cache-control" in headers else _NO_CONTROL
        kept = (credentials, digest) if keep_credentials else ((), "")
        tenant = key_tenant or digest
        patience = patience_s(headers)
        session = (headers.get(b"session_id") or headers.get(b"session-id") or b"").decode("latin-1")
        return cls(method, query, headers, onward, *kept, tenant, control, patience, key_name, key_tenant, session)

    def without_coding(self) -> "Arrival":
        """The same with a body that has lost its codings."""
        return structs.replace(self, onward=without_coding(self.onward))


NO_FIELDS = Fields()

_PATIENCE = (b"x-stainless-read-timeout", b"x-stainless-timeout")

_fields = msgspec.json.Decoder(Fields)
_narrowed = Narrowed(*Fields.__struct_fields__, whole=("model",))
_NO_CONTROL = CacheControl()


def patience_s(headers: dict[bytes, bytes]) -> float | None:
    """How long the client's SDK waits, in seconds: openai-python always says it, openai-node where a timeout is set."""
    for name in _PATIENCE:
        if name in headers:
            with suppress(ValueError):
                seconds = float(headers[name])
                if 0 < seconds < 1e9:
                    return seconds
    return None


def cache_control(headers: RawHeaders) -> CacheControl:
    """What the client's `Cache-Control` says; directives that are not for us, or make no sense, say nothing."""
    text = b",".join([value for name, value in headers if name == b"cache-control"])
    if not text:
        return _NO_CONTROL
    directives: dict[bytes, bytes] = {}
    for part in text.lower().split(b","):
        name, _, value = part.partition(b"=")
        directives.setdefault(name.strip(), value.strip().strip(b'"'))
    age = directives.get(b"max-age", b"")
    return CacheControl(b"no-cache" in directives, b"no-store" in directives, float(age) if age.isdigit() else None)


def check_text(body: bytes) -> None:
    """Raises `InvalidRequest` when a body cannot be JSON, as it is not UTF-8 (RFC 8259, 8.1). Parsers that skip what
    they are not asked for do not look there."""
    if b"\0" in body:
        raise InvalidRequest("The body is not valid JSON: it holds a NUL; is it UTF-16?", code="invalid_json")
    if body.isascii():
        return
    if body.startswith(codecs.BOM_UTF8):
        raise InvalidRequest("The body is not valid JSON: it begins with a byte order mark.", code="invalid_json")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        text = f"The body is not valid JSON: byte {error.start + 1} of {len(body)} is not UTF-8."
        raise InvalidRequest(text, code="invalid_json") from None


def decoded(body: bytes) -> tuple[Fields, bytes, bool]:
    """What the proxy acts on in a body, its outline, and `ProxyRequest.has_plain_key`. Raises `InvalidRequest` when it
    is no JSON object, names its model twice, or holds so many values that reading it would hold up everybody else."""
    if len(body) > MAX_MARKS and has_too_many_marks(body):
        told = f"The body has more than about {MAX_MARKS} values, quotes and escapes; send fewer at once."
        raise InvalidRequest(told, code="too_many_values")
    if not body.isascii():
        check_text(body)
    text = body
    try:
        if len(body) <= LARGE_BYTES:
            fields = _fields.decode(body)
        else:
            text = _narrowed(body, numbers=False)
            fields = _with_a_whole_name(_fields.decode(text))
    except msgspec.ValidationError as error:
        param = "model" if "$.model" in str(error) else None
        raise InvalidRequest(f"The body does not fit: {error}.", param=param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        lenient = _lenient_fields(text) if len(text) <= LARGE_BYTES else None
        if lenient is None:
            raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
        fields = _with_a_whole_name(lenient)
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None
    outline = elide_long_strings(body)
    is_doubtful = may_stand_twice(outline)
    if is_doubtful:
        _check_model(body)
    return fields, outline, not is_doubtful


def _check_model(body: bytes) -> None:
    """Of two, one reader takes the first and another the last: what is checked here would not be what is asked for."""
    try:
        keys = model_keys(body)
    except TooManyKeys as error:
        raise InvalidRequest(f"The body has {error}.", param="model") from None
    if len(keys) > 1:
        raise InvalidRequest("The body names 'model' twice; name it once.", param="model", code="repeated_field")


def request_of(
    route: Route,
    arrival: Arrival,
    body: bytes,
    fields: Fields,
    request_id: str,
    received: float,
    outline: bytes = b"",
    has_plain_key: bool = False,
) -> ProxyRequest:
    """The request; `fields` are those of its body, if that is to be acted on. `received`: seconds of the monotonic
    clock. `outline` and `has_plain_key`: see `ProxyRequest`.

    The deployment of an Azure URL decides whatever the body says.
    """
    api = route.api
    model = fields.model
    shares = fields.prompt_cache_key or fields.safety_identifier or fields.user
    affinity = (_affinity(fields) if shares else "") or arrival.session
    if arrival.key_tenant and affinity:
        affinity = f"{arrival.key_tenant}\n{affinity}"
    # By position: of a Struct this wide the keywords take several times as long as the making.
    return ProxyRequest(
        api,
        route.path,
        arrival.query,
        arrival.onward,
        arrival.credentials,
        body,
        route.deployment or model or "",
        model,
        fields.stream is True or (arrival.method == "GET" and "stream=true" in arrival.query.lower().split("&")),
        request_id,
        received,
        arrival.client,
        arrival.tenant,
        arrival.cache_control,
        1 if fields.n is None else choices(fields),
        max_output_tokens(fields),
        arrival.patience_s,
        affinity,
        arrival.method,
        None,
        fields.background is True and api is Api.RESPONSES,
        api is Api.CHAT and (fields.store is True or fields.audio is not None),
        fields.temperature,
        fields.store,
        has_plain_key,
        outline,
    )


def _lenient_fields(body: bytes) -> Fields | None:
    """None = it is no JSON object. Half an emoji (what is left when JavaScript cuts a text) is no reason for the proxy
    to refuse a body: that is for the provider to judge."""
    try:
        decoded = json.loads(body.decode(), parse_constant=_refuse_constant) if b"\\u" in body else None
        return msgspec.convert(decoded, Fields) if isinstance(decoded, dict) else None
    except (ValueError, RecursionError):
        return None


def _with_a_whole_name(fields: Fields) -> Fields:
    """Raises `InvalidRequest` for half a letter in the name of the model, which nothing can be called by."""
    name = fields.model or ""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = HALF
    if HALF in name:
        raise InvalidRequest("The model's name is no text: it holds half a surrogate pair.", param="model")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _affinity(fields: Fields) -> str:
    """The key that OpenAI's own routing goes by. `user` was it before the key came, as the API reference says, and what
    took its other half is as good a guess at who shares a prompt."""
    for value in (fields.prompt_cache_key, fields.safety_identifier, fields.user):
        if isinstance(value, str) and value:
            return value
    return ""


# Tokens of Entra ID have up to two thousand letters.
@remembered(most=512, longest=2560, size=lengths)
def _digest(credentials: Headers) -> str:
    if not credentials:
        return ""
    digest = hashlib.blake2b(digest_size=16, person=b"llmproxy-client")
    for name, value in sorted(credentials):
        digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode())
    return digest.hexdigest()
