"""The Responses API: the response object and its event sequence, both made from one draft.

Events, their order and fields follow the OpenAI API reference ("Streaming events" of the Responses API).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from simulator.content.questions import ResponsesQuestion
from simulator.content.text import Content, Turn
from simulator.protocol.reply import EVENT_STREAM, EventStream, Reply, encode_json

ENCRYPTED_CONTENT = "reasoning.encrypted_content"
RESPONSES_ERROR_FRAME = (
    b'event: error\ndata: {"type":"error","sequence_number":1,"code":"server_error","param":null,'
    b'"message":"The server had an error while processing your request. Sorry about that!",'
    b'"error":{"type":"server_error","code":"server_error","param":null,'
    b'"message":"The server had an error while processing your request. Sorry about that!"}}\n\n'
)


class Draft(Struct, frozen=True):
    """Everything a response is made of; enough to show it, stream it, or stream it again."""

    turn: Turn
    question: ResponsesQuestion
    content: Content
    encrypted_content: str | None
    """Of the reasoning item that precedes the answer; None: there is no such item."""

    @property
    def id(self) -> str:
        return f"resp_{self.turn.unique}"

    @property
    def final_status(self) -> str:
        return "incomplete" if self.content.is_cut else "completed"


def make_draft(question: ResponsesQuestion, turn: Turn, account: str) -> Draft:
    """What `account` answers. Its encrypted reasoning can be told from any other account's."""
    wants_reasoning = ENCRYPTED_CONTENT in (question.include or ())
    encrypted = encrypted_by(account, turn) if wants_reasoning else None
    return Draft(turn, question, turn.compose(question.ask()), encrypted)


def encrypted_by(account: str, turn: Turn) -> str:
    """Looks as if only `account` could read it."""
    return f"gAAAA{account}{turn.unique}Za4="


def is_own_encrypted_content(content: str, account: str) -> bool:
    return content.startswith(f"gAAAA{account}")


def response_object(draft: Draft, status: str) -> dict[str, Any]:
    """The `response` in one of its states; output and usage appear once it has ended."""
    question, turn = draft.question, draft.turn
    has_ended = status in {"completed", "incomplete"}
    return {
        "id": draft.id,
        "object": "response",
        "created_at": turn.created_s,
        "status": status,
        "conversation": None if question.conversation_id is None else {"id": question.conversation_id},
        "background": bool(question.background),
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": question.instructions,
        "max_output_tokens": question.max_output_tokens,
        "model": turn.model,
        "output": output_items(draft) if has_ended else [],
        "parallel_tool_calls": True,
        "previous_response_id": question.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": question.store is not False,
        "temperature": 1.0 if question.temperature is None else question.temperature,
        "text": question.text or {"format": {"type": "text"}},
        "tool_choice": question.tool_choice or "auto",
        "tools": question.tools or [],
        "top_p": 1.0 if question.top_p is None else question.top_p,
        "truncation": "disabled",
        "usage": _usage(draft) if has_ended else None,
        "user": None,
        "metadata": question.metadata or {},
    }


def _usage(draft: Draft) -> dict[str, Any]:
    given, made = draft.turn.prompt_tokens, len(draft.content.pieces)
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


def output_items(draft: Draft) -> list[dict[str, Any]]:
    """What the response says in the end."""
    answer = _answer_item(draft, draft.final_status, draft.content.text)
    return [answer] if draft.encrypted_content is None else [_reasoning_item(draft), answer]


def _reasoning_item(draft: Draft) -> dict[str, Any]:
    return {
        "id": f"rs_{draft.turn.unique}",
        "type": "reasoning",
        "summary": [],
        "encrypted_content": draft.encrypted_content,
    }


def _answer_item(draft: Draft, status: str, text: str) -> dict[str, Any]:
    if draft.content.tool_name is not None:
        return {
            "id": f"fc_{draft.turn.unique}",
            "type": "function_call",
            "status": status,
            "arguments": text,
            "call_id": f"call_{draft.turn.unique}",
            "name": draft.content.tool_name,
        }
    content = [] if status == "in_progress" else [_text_part(text)]
    return {
        "id": f"msg_{draft.turn.unique}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_stream_reply(draft: Draft, after: int = -1) -> Reply:
    """The whole event sequence, or what follows the event with sequence number `after`."""
    events = _events(draft)
    if after >= 0:
        events = EventStream([], islice(events.frames(), after + 1, None), [])
    return Reply(200, content_type=EVENT_STREAM, events=events, works=True)


def _frame(kind: str, number: int, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (
        kind.encode(),
        encode_json({"type": kind, "sequence_number": number, **fields}),
    )


def _numbered(first: int, events: list[tuple[str, dict[str, Any]]]) -> list[bytes]:
    return [_frame(kind, first + i, fields) for i, (kind, fields) in enumerate(events)]


def _events(draft: Draft) -> EventStream:
    started = response_object(draft, "in_progress")
    opening: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": started}),
        ("response.in_progress", {"response": started}),
    ]
    answer_index = 0
    if draft.encrypted_content is not None:
        reasoning = {"output_index": 0, "item": _reasoning_item(draft)}
        opening += [("response.output_item.added", reasoning), ("response.output_item.done", reasoning)]
        answer_index = 1
    item = _answer_item(draft, "in_progress", "")
    opening.append(("response.output_item.added", {"output_index": answer_index, "item": item}))
    where = {"item_id": item["id"], "output_index": answer_index}
    if draft.content.tool_name is None:
        opening.append(("response.content_part.added", {**where, "content_index": 0, "part": _text_part("")}))
    first_token = len(opening)
    closing = _numbered(first_token + len(draft.content.pieces), _closing(draft, where))
    return EventStream(_numbered(0, opening), _tokens(draft, where, first_token), closing)


def _tokens(draft: Draft, where: dict[str, Any], first: int) -> Iterator[bytes]:
    for number, piece in enumerate(draft.content.pieces, first):
        if draft.content.tool_name is None:
            yield _frame(
                "response.output_text.delta", number, {**where, "content_index": 0, "delta": piece, "logprobs": []}
            )
        else:
            yield _frame("response.function_call_arguments.delta", number, {**where, "delta": piece})


def _closing(draft: Draft, where: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    text = draft.content.text
    done: list[tuple[str, dict[str, Any]]]
    if draft.content.tool_name is not None:
        name = draft.content.tool_name
        done = [("response.function_call_arguments.done", {**where, "name": name, "arguments": text})]
    else:
        part = {**where, "content_index": 0}
        done = [
            ("response.output_text.done", {**part, "text": text, "logprobs": []}),
            ("response.content_part.done", {**part, "part": _text_part(text)}),
        ]
    item = _answer_item(draft, draft.final_status, text)
    return [
        *done,
        ("response.output_item.done", {"output_index": where["output_index"], "item": item}),
        (f"response.{draft.final_status}", {"response": response_object(draft, draft.final_status)}),
    ]
