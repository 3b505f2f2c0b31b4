"""The fields of a request body that change the answer. Everything else is accepted and ignored."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from simulator.content.text import Ask, Tool

_NOTHING = Raw(b"")


class StreamOptions(Struct):
    include_usage: bool | None = None


class Question(Struct):
    """What every operation may carry. `model` is None where the path names it."""

    model: str | None = None
    stream: bool | None = None


class ChatQuestion(Question):
    """POST chat/completions."""

    messages: Raw = _NOTHING
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None

    @property
    def output_limit(self) -> int | None:
        """The most tokens the caller wants; None: it did not say."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def ask(self) -> Ask:
        if not self.tools and self.response_format is None:
            return Ask(max_tokens=self.output_limit)
        tools = [_tool(entry.get("function", {})) for entry in self.tools or () if entry.get("type") == "function"]
        form = self.response_format or {}
        return Ask(
            max_tokens=self.output_limit,
            tool=_chosen(tools, self.tool_choice, self.messages),
            schema=_schema(form.get("type"), form.get("json_schema")),
        )


class CompletionsQuestion(Question):
    """POST completions, the legacy operation."""

    prompt: Raw = _NOTHING
    n: int | None = None
    max_tokens: int | None = None
    stream_options: StreamOptions | None = None


class ResponsesQuestion(Question):
    """POST responses, responses/input_tokens and responses/compact."""

    input: Raw = _NOTHING
    store: bool | None = None
    background: bool | None = None
    prompt: Any = None
    """A kept one, which names its model itself."""
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    instructions: Any = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    temperature: float | None = None
    top_p: float | None = None

    @property
    def output_limit(self) -> int | None:
        return self.max_output_tokens

    @property
    def conversation_id(self) -> str | None:
        """The conversation it belongs to; None: to none."""
        given = self.conversation
        return str(given.get("id", "")) if isinstance(given, dict) else given

    @property
    def builds_on(self) -> bool:
        """Does it go on with something that is kept?"""
        return self.previous_response_id is not None or self.conversation is not None

    def ask(self) -> Ask:
        tools = [_tool(entry) for entry in self.tools or () if entry.get("type") == "function"]
        form = (self.text or {}).get("format") or {}
        return Ask(
            max_tokens=self.max_output_tokens,
            tool=_chosen(tools, self.tool_choice, self.input),
            schema=_schema(form.get("type"), form),
        )

    def input_items(self) -> list[dict[str, Any]]:
        """The input as a list of items, a plain string being a user's message."""
        value = msgspec.json.decode(self.input) if bytes(self.input) else []
        if isinstance(value, str):
            return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


class ThingsQuestion(Question):
    """POST conversations and what is below them, POST chat/completions/{id}."""

    items: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None


class EmbeddingsQuestion(Question):
    """POST embeddings."""

    input: str | list[str | int | list[int]] | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


class MediaQuestion(Question):
    """POST audio/... and images/...; a form's fields are texts."""

    input: str = ""
    prompt: str = ""
    n: int | str | None = None
    response_format: str | None = None
    stream: bool | str | None = None  # type: ignore[assignment] # of a form

    @property
    def is_streamed(self) -> bool:
        return self.stream in (True, "true")


class ModerationsQuestion(Question):
    """POST moderations."""

    input: Any = None


def _tool(function: dict[str, Any]) -> Tool:
    return Tool(str(function.get("name", "tool")), function.get("parameters") or {})


def _chosen(tools: list[Tool], choice: str | dict[str, Any] | None, messages: Raw) -> Tool | None:
    """The tool to call: the one named, the first if one is required or the last user message speaks of a "tool"."""
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        name = choice.get("name") or choice.get("function", {}).get("name")
        return next((tool for tool in tools if tool.name == name), tools[0])
    return tools[0] if choice == "required" or "tool" in _last_user_text(messages) else None


def _last_user_text(messages: Raw) -> str:
    value = msgspec.json.decode(messages) if bytes(messages) else ""
    if isinstance(value, str):
        return value
    said = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    # A tool's result after the question means that the call has been made: what follows is the answer.
    if said and (said[-1].get("role") == "tool" or said[-1].get("type") == "function_call_output"):
        return ""
    users = [item.get("content") for item in said if item.get("role") == "user"]
    if not users:
        return ""
    parts = users[-1] if isinstance(users[-1], list) else [users[-1]]
    return " ".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in parts)


def _schema(kind: str | None, holder: Any) -> dict[str, Any] | None:
    """The JSON schema an answer must fit; None: the answer is plain text."""
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    if kind == "json_schema" and isinstance(holder, dict):
        return holder.get("schema") or {}
    return None
