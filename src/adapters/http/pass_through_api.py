"""Whatever else endpoints serve: JSON, forms with files, downloads. What is large is not held, in either direction."""

from collections.abc import Awaitable

from msgspec import structs

from adapters.http.access.guards import is_json
from adapters.http.admission import Admission
from adapters.http.bodies.body import too_large
from adapters.http.bodies.content_codings import content_codings, without_coding
from adapters.http.bodies.decode_request import NO_FIELDS, Arrival, decoded, request_of
from adapters.http.bodies.form_fields import form_fields, names_nothing
from adapters.http.bodies.multipart_model import PEEKED_BYTES, boundary_of, find_model, is_name_broken
from adapters.http.bodies.upload import ClientUpload
from adapters.http.error_headers import WrongMethod
from adapters.http.exchange.exchange import Exchange
from adapters.http.paths.routes import METHODS, other_route, unknown_path
from adapters.http.server.client import Client
from application.answers import Answer
from application.errors import InvalidRequest
from application.messages import ProxyRequest
from application.use_cases.by_account import PassThrough

HELD_BYTES = 1024 * 1024
"""Bodies up to this size are read before they are sent on: then another endpoint can be sent them as well."""

_NAME_A_MODEL = ("/audio/", "/images/", "/videos")
"""Forms that name a model, before their file as SDKs do, or after it: then they are held until it comes."""


class PassThroughCalls:
    def __init__(self, admission: Admission, pass_through: PassThrough) -> None:
        self._admission = admission
        self._pass_through = pass_through

    def begin(self, client: Client) -> Awaitable[None] | None:
        return Exchange(client, self._admission.context).begin(self._answer)

    async def _answer(self, exchange: Exchange) -> Answer:
        head = exchange.head
        body = ClientUpload(exchange.client.receive, exchange.client.length)
        arrival = self._admission.admit(exchange)
        route = other_route(head.raw_path.decode("latin-1"))
        if route is None:
            raise unknown_path(head.raw_path.decode("latin-1"))
        if arrival.method not in METHODS:
            raise WrongMethod(arrival.method, METHODS)
        request = request_of(route, arrival, b"", NO_FIELDS, exchange.request_id, exchange.received)
        exchange.request = await self._with_body(structs.replace(request, stream=False), body, arrival, exchange)
        return await exchange.while_connected(self._pass_through(exchange.request, exchange.trace))

    async def _with_body(
        self, request: ProxyRequest, body: ClientUpload, arrival: Arrival, exchange: Exchange
    ) -> ProxyRequest:
        """The request with its body, or with what the body is going to come from, and the model that it names. JSON is
        held whole, however large it is, and without its codings: it has to be read for its model. All else goes on as
        it came."""
        if body.is_over:
            return request
        body.held = exchange.held
        headers = arrival.headers
        if is_json(headers):
            codings = content_codings(headers)
            held = await self._admission.plain_body(body.receive, exchange, codings)
            name = decoded(held)[0].model if held else None
            onward = without_coding(request.headers) if codings else request.headers
            return structs.replace(
                request, headers=onward, body=held, body_model=name, model=request.model or name or ""
            )
        is_plain = headers.get(b"content-encoding", b"identity").strip().lower() == b"identity"
        boundary = boundary_of(headers.get(b"content-type", b"")) if is_plain else None
        if self._admission.keeps_keys_apart and not (boundary is not None and names_nothing(request.path)):
            request = structs.replace(request, form=await self._form(body, boundary))
        if boundary is not None:
            names_model = request.path.startswith(_NAME_A_MODEL)
            most = self._admission.max_body_bytes if names_model else PEEKED_BYTES
            head = await body.peek(most, lambda head: find_model(head, boundary) is not None)
            field = find_model(head, boundary)
            if field is None and is_name_broken(head, boundary):
                raise InvalidRequest("The model's name in the form is not UTF-8.", param="model")
            if field is not None:
                body.rename = field.renamed
                request = structs.replace(request, body_model=field.name, model=request.model or field.name)
        if body.length is None or body.length <= HELD_BYTES:
            await body.peek(HELD_BYTES)
        return structs.replace(request, upload=body)

    async def _form(self, body: ClientUpload, boundary: bytes | None) -> tuple[tuple[str, str], ...]:
        """Its fields, which may name what another key has stored. Raises `InvalidRequest` where they cannot be read."""
        if boundary is None:
            raise InvalidRequest(
                "Whose the things are that this body names cannot be seen (tenancy: key): send JSON or a form, as it "
                "is and not compressed.",
                code="unsupported_media_type",
            )
        most = self._admission.max_body_bytes
        held = await body.peek(most + 1)
        if len(held) > most:
            raise too_large(most)
        return form_fields(held, boundary)
