"""Items of an input as they are shown again: with an id, a type, and their text in parts."""

from typing import Any

_PREFIXES = {"reasoning": "rs", "function_call": "fc", "function_call_output": "fc", "compaction": "cmp"}


def shown(item: dict[str, Any], unique: str) -> dict[str, Any]:
    """The item as a provider keeps it. One that has an id keeps it, others are named by `unique`."""
    kind = item.get("type", "message")
    whole = {"id": f"{_PREFIXES.get(kind, 'msg')}_{unique}", "type": kind, "status": "completed", **item}
    if isinstance(whole.get("content"), str):
        part = {"type": "input_text", "text": whole["content"]}
        if whole.get("role") == "assistant":
            part = {"type": "output_text", "text": whole["content"], "annotations": []}
        whole["content"] = [part]
    return whole
