"""Whether a Realtime or Live socket is let in. OpenAI refuses keys and models on the socket, Azure at the handshake; a
call or session that nobody knows is refused by both at the handshake."""

import time

from msgspec import Struct

from simulator.account import Account
from simulator.calls import Call, credential_of
from simulator.limits import Gauge, Verdict
from simulator.protocol import errors
from simulator.protocol.reply import Reply
from simulator.sockets.conversation import Charged, Conversation, Event

_KEY_IN_SUBPROTOCOL = "openai-insecure-api-key."


class Admitted(Struct, frozen=True):
    """The handshake is answered with 101."""

    conversation: Conversation
    refusal: tuple[Event, int, str] | None = None
    """An error, and the code and reason of the close that follows it; None = it may speak."""


def opening_of(call: Call, account: Account) -> Admitted | Reply:
    """The conversation that begins, or a refusal."""
    settings, query, model = account.settings, call.route.query, call.model
    is_live = call.route.operation == "live"
    call_id = call.route.resource_id if is_live else (query.get("call_id") or [""])[0]
    credential = credential_of(call.request) or _key_in_subprotocol(call)
    is_known = not settings.api_keys or credential in settings.api_keys
    if call.route.is_azure and not is_known:
        return errors.azure_denied()
    if call_id and not account.has_call(call_id):
        return errors.unknown("Call", call_id)
    is_there = is_live or bool(call_id or query.get("intent")) or (model is not None and not account.lacks(model))
    if call.route.is_azure and not is_there:
        return errors.unknown_model(model or "", call.route)

    def charge(tokens: int) -> Charged:
        return _charged(account.charge(credential, model or "", tokens, time.monotonic()), model or "")

    conversation = Conversation(settings.name, model or "", settings.answer_tokens, account.unique, charge)
    if not is_known:
        error = conversation.error("Incorrect API key provided.", "invalid_api_key")
        return Admitted(conversation, (error, 3000, "invalid_request_error.invalid_api_key"))
    if not is_there:
        error = conversation.error(f"The model '{model}' does not exist.", "model_not_found")
        return Admitted(conversation, (error, 4000, "invalid_request_error.model_not_found"))
    if "realtime=v1" in (call.request.header(b"openai-beta") or ""):
        error = conversation.error("The beta shape is shut off.", "beta_api_shape_disabled")
        return Admitted(conversation, (error, 4000, "invalid_request_error.beta_api_shape_disabled"))
    return Admitted(conversation)


def _key_in_subprotocol(call: Call) -> str | None:
    offered = (call.request.header(b"sec-websocket-protocol") or "").split(",")
    keys = [part.strip().removeprefix(_KEY_IN_SUBPROTOCOL) for part in offered if _KEY_IN_SUBPROTOCOL in part]
    return keys[0] if keys else None


def _charged(verdict: Verdict | None, model: str) -> Charged:
    if verdict is None:
        return Charged([])
    gauges: list[tuple[str, Gauge | None]] = [("requests", verdict.requests), ("tokens", verdict.tokens)]
    limits = [
        {"name": name, "limit": gauge.limit, "remaining": gauge.remaining, "reset_seconds": gauge.reset_s}
        for name, gauge in gauges
        if gauge is not None
    ]
    if verdict.refused_by is None:
        return Charged(limits)
    return Charged(limits, f"Rate limit reached for {model}. Please try again in {verdict.wait_s:.3f}s.")
