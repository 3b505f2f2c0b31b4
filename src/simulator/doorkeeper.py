"""Credentials that are let in. Azure takes a key in `api-key`; as Bearer it takes an Entra token, and a key on
/openai/v1 alone."""

import re

from simulator.calls import Call, bearer_of, credential_of
from simulator.protocol import errors
from simulator.protocol.reply import Reply
from simulator.settings import ProviderSettings

# OpenAI's keys, Azure's old ones (32 hexadecimal digits) and its new ones (84 letters and digits). A token is a JWT.
_KEY = re.compile(r"sk-.*|[0-9a-f]{32}|[A-Za-z0-9]{84}")


def denied(call: Call, settings: ProviderSettings) -> Reply | None:
    """The refusal of a request whose credential is wrong; None = it may come in."""
    if call.route.is_azure:
        return None if _enters_azure(call, settings) else errors.azure_denied()
    given = credential_of(call.request)
    if not settings.api_keys or given in settings.api_keys:
        return None
    return errors.wrong_key(given) if given else errors.missing_key()


def _enters_azure(call: Call, settings: ProviderSettings) -> bool:
    key, bearer = call.request.header(b"api-key"), bearer_of(call.request)
    if key is not None:
        return not settings.api_keys or key in settings.api_keys
    takes_keys = not call.route.is_dated
    if not settings.api_keys and not settings.entra_tokens:
        return bearer is None or takes_keys or _KEY.fullmatch(bearer) is None
    return bearer in settings.entra_tokens or (takes_keys and bearer in settings.api_keys)
