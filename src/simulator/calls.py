"""A request as it came, and what it asks for."""

import msgspec
from msgspec import Struct, structs

from simulator.content.questions import (
    ChatQuestion,
    CompletionsQuestion,
    EmbeddingsQuestion,
    MediaQuestion,
    ModerationsQuestion,
    Question,
    ResponsesQuestion,
    ThingsQuestion,
)
from simulator.protocol import errors
from simulator.protocol.reply import Reply
from simulator.protocol.routes import Operation, Route, find_route
from simulator.storage.file_store import fields_as_json, form_parts

MODEL_OPERATIONS = frozenset(
    {"chat", "completions", "responses", "embeddings", "moderations", "compact", "speech", "transcription", "image"}
)
"""Those that a model answers: it must exist, and limits apply."""

_QUESTIONS: dict[Operation, msgspec.json.Decoder[Question]] = {
    "chat": msgspec.json.Decoder(ChatQuestion),
    "completions": msgspec.json.Decoder(CompletionsQuestion),
    "responses": msgspec.json.Decoder(ResponsesQuestion),
    "compact": msgspec.json.Decoder(ResponsesQuestion),
    "input_tokens": msgspec.json.Decoder(ResponsesQuestion),
    "embeddings": msgspec.json.Decoder(EmbeddingsQuestion),
    "moderations": msgspec.json.Decoder(ModerationsQuestion),
    "speech": msgspec.json.Decoder(MediaQuestion),
    "image": msgspec.json.Decoder(MediaQuestion),
    "transcription": msgspec.json.Decoder(MediaQuestion),
}
_THINGS: dict[Operation, msgspec.json.Decoder[Question]] = dict.fromkeys(
    ("conversations", "conversation", "conversation_items", "stored_completion"),
    msgspec.json.Decoder(ThingsQuestion),
)
"""Bodies that may be missing, and are with other methods than POST."""
_OF_FORMS = ("transcription", "image")
"""What may be asked for with a form."""
_SOCKETS = ("realtime", "live", "responses_socket")
_ANY_QUESTION = msgspec.json.Decoder(Question)
_MOST_CHOICES = 128
_HAVE_A_MODEL = ("moderations", "image")
"""What need not name one."""


class Request(Struct, gc=False):
    """As it came. Header names are in lower case, `target` is path and query."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool = True

    @property
    def is_upgrade(self) -> bool:
        """Is a WebSocket to be opened?"""
        return (self.header(b"upgrade") or "").lower() == "websocket"

    def header(self, name: bytes) -> str | None:
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


class Call(Struct):
    """A request that has been understood, or the `refusal` for one that could not be."""

    request: Request
    route: Route
    question: Question | None = None
    refusal: Reply | None = None

    @property
    def model(self) -> str | None:
        """The deployment in the path of a dated Azure call, whatever its body says; else the body's model, of a socket
        the query's."""
        if self.route.operation == "realtime":
            named = self.route.query.get("model") or self.route.query.get("deployment")
            return named[0] if named else None
        return self.route.deployment or (None if self.question is None else self.question.model)

    @property
    def opens_socket(self) -> bool:
        return self.route.operation in _SOCKETS and self.request.is_upgrade

    @property
    def stream(self) -> bool:
        if self.route.operation == "response":
            return self.route.query.get("stream") == ["true"]
        return self.question is not None and bool(self.question.stream)


def understand(request: Request) -> Call:
    """Route and body of a request."""
    route = find_route(request.method, request.target)
    if route.fault == "no_such_method" and request.is_upgrade:
        route = _with_socket(route, request)
    if route.fault is not None:
        return Call(request, route, _glance(request.body), errors.route_refused(route))
    decoder = _QUESTIONS.get(route.operation) if route.operation else None
    body = request.body
    if decoder is None:
        decoder = _THINGS.get(route.operation) if route.operation and request.method == "POST" else None
        body = body or b"{}"
    if decoder is None:
        return Call(request, route)
    content_type = request.header(b"content-type") or ""
    if route.operation in _OF_FORMS and content_type.startswith("multipart/"):
        body = fields_as_json(form_parts(content_type, body))
    try:
        question = decoder.decode(body)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].partition("`")[0].partition("[")[0] or None
        return Call(request, route, _glance(body), errors.invalid_parameter(name, str(error)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Call(request, route, refusal=errors.not_json())
    return Call(request, route, question, _incomplete(question, route))


def _with_socket(route: Route, request: Request) -> Route:
    """That of Responses over WebSocket, where it is asked for; Azure documents none with a dated version."""
    posted = find_route("POST", request.target)
    is_served = request.method == "GET" and posted.operation == "responses" and not posted.is_dated
    return structs.replace(posted, method="GET", operation="responses_socket") if is_served else route


def _glance(body: bytes) -> Question | None:
    """Model and stream flag of a body we do not otherwise understand."""
    try:
        return _ANY_QUESTION.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _incomplete(question: Question, route: Route) -> Reply | None:
    has_prompt = isinstance(question, ResponsesQuestion) and question.prompt is not None
    needs_model = route.operation in MODEL_OPERATIONS and route.operation not in _HAVE_A_MODEL and not has_prompt
    if needs_model and not question.model and route.deployment is None:
        return errors.missing_parameter("model")
    if isinstance(question, ChatQuestion) and not bytes(question.messages):
        return errors.missing_parameter("messages")
    if isinstance(question, ChatQuestion) and bytes(question.messages)[:1] != b"[":
        return errors.invalid_parameter("messages", "expected a list")
    if (
        isinstance(question, ResponsesQuestion)
        and not bytes(question.input)
        and not question.builds_on
        and not has_prompt
    ):
        return errors.missing_parameter("input")
    choices = question.n if isinstance(question, ChatQuestion | CompletionsQuestion | MediaQuestion) else None
    if isinstance(choices, str):  # of a form
        choices = int(choices) if choices.isdecimal() and len(choices) <= len(str(_MOST_CHOICES)) else 0
    if choices is not None and not 1 <= choices <= _MOST_CHOICES:
        return errors.invalid_parameter("n", f"expected 1 to {_MOST_CHOICES}, got {choices}")
    return None


def credential_of(request: Request) -> str | None:
    """The key a request presents: `authorization: Bearer`, else `api-key`; None without one."""
    return bearer_of(request) or request.header(b"api-key")


def bearer_of(request: Request) -> str | None:
    """What comes as `authorization: Bearer`; None without it."""
    given = request.header(b"authorization")
    return given[7:].strip() if given is not None and given[:7].lower() == "bearer " else None
