"""Choices that ended because something broke: a 200, and no answer.

`error`: OpenRouter ("Error handling", errors of a provider within a choice) and Mistral; `network_error`: Z.AI;
`insufficient_system_resource`: DeepSeek. Each is a value of `finish_reason` of its chat completions.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from adapters.upstreams.openai.lenient_json import decode
from domain.failure import Failure, FailureKind

BROKEN = Failure(FailureKind.SERVER_ERROR, "a choice that ended with an error")

_REASONS = ("error", "network_error", "insufficient_system_resource")
_HINT = re.compile(rb'"finish_reason"[ \t\r\n]*+:[ \t\r\n]*+"(?:%b)"' % "|".join(_REASONS).encode())


class _Choice(Struct):
    finish_reason: Any = None
    message: Any = None
    text: Any = None


class _Answer(Struct):
    choices: list[_Choice]


_answers = msgspec.json.Decoder(_Answer)


def is_any_broken(choices: Any) -> bool:
    """Did one of these choices, which may be anything, end with an error?"""
    return isinstance(choices, list) and any(getattr(each, "finish_reason", None) in _REASONS for each in choices)


def is_broken_answer(text: bytes) -> bool:
    """Did an answer of chat or completions, which names no output tokens, end with an error before it said anything?"""
    if not _HINT.search(text):
        return False
    try:
        choices = decode(_answers, text).choices
    except (ValueError, RecursionError):
        return False
    return is_any_broken(choices) and not any(map(_says, choices))


def _says(choice: _Choice) -> bool:
    if isinstance(choice.message, dict):
        return any(value for name, value in choice.message.items() if name != "role")
    return bool(choice.message or choice.text)
