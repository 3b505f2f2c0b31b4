"""Pages of lists, by cursor: `limit`, `order` and `after` of the query (OpenAI API reference, "list" operations)."""

from collections.abc import Mapping, Sequence
from typing import Any

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100


def page(
    things: Sequence[dict[str, Any]], query: Mapping[str, Sequence[str]], *, order: str = "desc"
) -> dict[str, Any]:
    """The part of `things` (oldest first) that a query asks for. `order` is that of a query without one."""
    newest_first = query.get("order", [order])[0] == "desc"
    left = list(reversed(things)) if newest_first else list(things)
    after = query.get("after", [""])[0]
    if after:
        at = next((index for index, thing in enumerate(left) if thing["id"] == after), len(left))
        left = left[at + 1 :]
    wanted = query.get("limit", [""])[0]
    limit = min(max(1, int(wanted)), _MAX_LIMIT) if wanted.isdigit() else _DEFAULT_LIMIT
    shown = left[:limit]
    edges = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
    return {
        "object": "list",
        "data": shown,
        "first_id": edges[0],
        "last_id": edges[1],
        "has_more": len(left) > len(shown),
    }
