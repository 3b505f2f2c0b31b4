"""What must come in the stream that answers a request: how many choices, and the usage or not."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from adapters.upstreams.openai.lenient_json import decode
from adapters.upstreams.openai.streams.choices_ended import ONE, ExpectedStream
from application.body.narrowed import LARGE_BYTES, Narrowed, is_heavy
from application.messages import Api, ProxyRequest
from domain.elided import elide_long_strings


class _Options(Struct):
    include_usage: Any = None


class _Asked(Struct):
    stream_options: _Options | str | int | float | bool | list[Any] | None = None
    prompt: list[Raw] | dict[str, Any] | str | int | float | bool | None = None


class _DecodedAsked(_Asked):
    prompt: Any = None


_asked = msgspec.json.Decoder(_Asked)
_narrowed = Narrowed("stream_options", "prompt", whole=("prompt",))


def expected_stream(request: ProxyRequest) -> ExpectedStream:
    """Of chat `n` choices, of the older completions `n` for each prompt: a list of texts, or of lists of tokens, is
    several prompts, a list of tokens is one (OpenAI API reference, "Create completion"). `best_of` adds none."""
    has_prompts = request.api is Api.COMPLETIONS
    if request.api is not Api.CHAT and not has_prompts:
        return ONE
    if not has_prompts and elide_long_strings(request.body).find(b'"include_usage"') < 0:
        return ONE if request.choices == 1 else ExpectedStream(request.choices)
    try:
        body = request.body if len(request.body) <= LARGE_BYTES else _narrowed(request.body)
        if len(body) > LARGE_BYTES and is_heavy(body):
            return ExpectedStream(request.choices)
        asked = decode(_asked, body, _DecodedAsked)
    except (ValueError, RecursionError):
        return ExpectedStream(request.choices)
    options = asked.stream_options
    wants_usage = isinstance(options, _Options) and options.include_usage is True
    return ExpectedStream(request.choices * (_prompts(asked.prompt) if has_prompts else 1), wants_usage)


def _prompts(prompt: Any) -> int:
    if not isinstance(prompt, list) or not prompt:
        return 1
    first = prompt[0]
    is_one = bytes(first)[:1] not in (b'"', b"[") if isinstance(first, Raw) else not isinstance(first, str | list)
    return 1 if is_one else len(prompt)
