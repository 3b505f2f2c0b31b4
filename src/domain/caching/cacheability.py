"""Which requests ask for an answer that would be the same again, and for nothing but that answer: rules by API.

Sampled answers are the same again at temperature 0 only. Nothing but an answer: nothing that the provider stores or has
stored, and no tool that it runs, since such a tool sees the world as it is then. What is allowed is listed where the
API grows (tools, input items, `include`), so that what it gets tomorrow is not cached by mistake.
Fields and their defaults: OpenAI API reference.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Fields = Mapping[str, Any]

DELIVERY = ("stream", "stream_options")  # fields that say how the answer is sent, and not what it is
COMPUTED = frozenset(("embeddings", "moderations"))  # APIs without chance: they know neither a temperature nor a stream

_NUMBERS = (int, float)

_ASKED_TO_STAY_OUT = frozenset({
    "background", "previous_response_id", "conversation", "prompt", "context_management", "audio",
    "web_search_options", "data_sources", "dataSources", "search_parameters", "plugins",
})  # fmt: skip
"""Fields of chat and Responses that tie a request to what is kept elsewhere, make more of it than text, or have the
provider look something up. An empty object turns them on as well."""

_OWN_TOOLS = frozenset(("function", "custom"))  # Tools that the client runs. All others are run by the provider.

_PLAIN_ITEMS = frozenset(
    ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")
)
"""Input items of Responses that hold all they mean. Left out: references, encrypted reasoning, hosted tools' calls."""

_PLAIN_INCLUDES = frozenset(("message.output_text.logprobs",))  # no hosted tools' finds, no encrypted reasoning

_PROMPT_CACHE_ACTS = ("prewarm", "comparison_response_id")  # a request for these is made for its effect


def may_be_cacheable(api: str, temperature: object, store: object, absent_is_zero: bool) -> bool:
    """Could the answer to a request be given again, as far as these fields of its body tell (None = it has none)?
    `absent_is_zero`: what a request without a temperature is taken for. Of an API that is not known here: never."""
    if api not in SAMPLED:
        return api in COMPUTED
    is_certain = absent_is_zero if temperature is None else type(temperature) in _NUMBERS and temperature == 0
    return is_certain and (store is False or api != "responses")  # which are stored unless the client says no


def is_cacheable(api: str, fields: Fields, *, absent_is_zero: bool) -> bool:
    """May the answer to a request with these body fields be given again? `absent_is_zero` as above."""
    if api in COMPUTED:
        return not any(fields.get(name) for name in DELIVERY)
    return (
        may_be_cacheable(api, fields.get("temperature"), fields.get("store"), absent_is_zero)
        and _is_plain_delivery(fields)
        and SAMPLED[api](fields)
    )


def _chat(fields: Fields) -> bool:
    return (
        _is_one(fields.get("n"))
        and fields.get("store") in (None, False)
        and fields.get("modalities") in (None, ["text"])
        and _stays_in_itself(fields)
    )


def _completions(fields: Fields) -> bool:
    return _is_one(fields.get("n")) and _is_one(fields.get("best_of"))


def _responses(fields: Fields) -> bool:
    return (
        _stays_in_itself(fields)
        and all(isinstance(name, str) and name in _PLAIN_INCLUDES for name in _items(fields.get("include")))
        and _is_plain_input(fields.get("input"))
    )


SAMPLED: Mapping[str, Callable[[Fields], bool]] = {"chat": _chat, "completions": _completions, "responses": _responses}
"""APIs that draw their answers: what a request must not ask for."""


def _is_one(count: object) -> bool:
    """As it is where nothing is said. `true` equals 1 in Python, and is refused by providers."""
    return count is None or (count == 1 and not isinstance(count, bool))


def _is_plain_delivery(fields: Fields) -> bool:
    """Are the fields that are no part of the key what the API takes? What it refuses must not get another's answer."""
    stream, options = fields.get("stream"), fields.get("stream_options")
    if not (stream is None or isinstance(stream, bool)):
        return False
    return options is None or (stream is True and isinstance(options, dict))


def _stays_in_itself(fields: Fields) -> bool:
    options = fields.get("prompt_cache_options") or {}
    return (
        (_ASKED_TO_STAY_OUT.isdisjoint(fields) or all(fields.get(name) in (None, False) for name in _ASKED_TO_STAY_OUT))
        and isinstance(options, dict)
        and not any(options.get(name) for name in _PROMPT_CACHE_ACTS)
        and all(_kind(tool) in _OWN_TOOLS for tool in _items(fields.get("tools")))
    )


def _is_plain_input(given: object) -> bool:
    return isinstance(given, str) or (isinstance(given, list) and all(map(_is_plain, given)))


def _is_plain(item: object) -> bool:
    """A message may leave out its type. So may a reference to an item that is stored, which has no role."""
    kind = _kind(item)
    return kind in _PLAIN_ITEMS or (kind == "" and isinstance(item, dict) and "role" in item)


def _items(listed: object) -> Iterable[object]:
    """Those of a list; what is none where one is expected counts as an item that nobody knows."""
    return listed if isinstance(listed, list) else () if listed is None else (None,)


def _kind(item: object) -> str | None:
    """The `type` of a tool or an item; empty = it names none; None = it is no such thing."""
    kind = (item.get("type") or "") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) else None
