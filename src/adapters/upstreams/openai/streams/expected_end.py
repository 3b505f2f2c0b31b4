"""What must come in the stream that answers a request, how many choices and the usage or not, and what of it has.

A choice ends with its `finish_reason`. Some providers send one with every chunk, or a text that says that there is
none; of a choice that goes on after its end, no end can be believed.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from adapters.upstreams.openai.lenient_json import decode
from application.body.narrowed import LARGE_BYTES, Narrowed, is_heavy
from application.messages import Api, ProxyRequest

_NO_REASON = frozenset({"", "null", "none"})


class ExpectedStream(Struct, frozen=True):
    """What must have come before a stream may end without a terminal event."""

    choices: int = 1
    usage: bool = False


ONE = ExpectedStream()


class ChoicesEnded:
    """What has ended of what is expected."""

    __slots__ = ("_ended", "_expected", "_goes_on", "usage_came")

    def __init__(self, expected: ExpectedStream) -> None:
        self._expected = expected
        self._ended: set[int] = set()
        self._goes_on = False
        self.usage_came = False

    @property
    def any(self) -> bool:
        """Has any choice ended? Then all that follows has to be read."""
        return bool(self._ended)

    @property
    def all(self) -> bool:
        """Has everything come that was asked for, and can it be believed?"""
        return (
            len(self._ended) >= self._expected.choices
            and not self._goes_on
            and (self.usage_came or not self._expected.usage)
        )

    def note(self, index: int, *, has_content: bool, ends: bool) -> None:
        """A piece of that choice."""
        if has_content and index in self._ended:
            self._goes_on = True
        if ends:
            self._ended.add(index)


def is_reason(finish_reason: Any) -> bool:
    """Does it say why a choice ended?"""
    return isinstance(finish_reason, str) and finish_reason.strip().lower() not in _NO_REASON


def place(index: Any, position: int) -> int:
    """The index that a piece names; its position among the pieces of its event, where it names none."""
    if isinstance(index, float) and index.is_integer():
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else position


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
    if not has_prompts and (request.outline or request.body).find(b'"include_usage"') < 0:
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
