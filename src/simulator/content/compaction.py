"""What is computed from an input without answering it: its token count, and its compaction."""

from simulator.content.items import shown
from simulator.content.questions import ResponsesQuestion
from simulator.content.responses import encrypted_by
from simulator.content.text import Turn
from simulator.protocol.reply import Reply, json_reply


def input_tokens_reply(body_bytes: int) -> Reply:
    """POST responses/input_tokens."""
    return json_reply(200, {"object": "response.input_tokens", "input_tokens": max(1, body_bytes // 4)})


def compaction_reply(question: ResponsesQuestion, turn: Turn, account: str) -> Reply:
    """POST responses/compact: all user messages, and one item for the rest that only `account` can read."""
    messages = [
        shown(item, f"{turn.unique}{index:02x}")
        for index, item in enumerate(question.input_items())
        if item.get("role") == "user"
    ]
    summary = {"id": f"cmp_{turn.unique}", "type": "compaction", "encrypted_content": encrypted_by(account, turn)}
    usage = {
        "input_tokens": turn.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": turn.prompt_tokens + 1,
    }
    value = {"id": f"resp_{turn.unique}", "object": "response.compaction", "created_at": turn.created_s}
    return json_reply(200, {**value, "output": [*messages, summary], "usage": usage}, works=True)
