"""Which kinds of things there are, where they stand, and what they have besides what their maker said.

Paths, prefixes of ids and names of objects are those of OpenAI's API reference.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

ANY = "*"
"""Stands for an id in a path."""

_COUNTS = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
_STORED = {"usage_bytes": 0, "status": "completed", "vector_store_id": "", "last_error": None}


class Family(Struct, frozen=True):
    """One kind of thing."""

    prefix: str
    """What its ids begin with."""
    kind: str
    """What it says that it is, as its `object`."""
    has: dict[str, Any] = {}
    """What it has from the start."""


FAMILIES: dict[tuple[str, ...], Family] = {
    ("assistants",): Family("asst_", "assistant", {"tools": [], "metadata": {}, "instructions": None}),
    ("batches",): Family(
        "batch_", "batch", {"status": "validating", "request_counts": {"total": 0, "completed": 0, "failed": 0}}
    ),
    ("containers",): Family("cntr_", "container", {"status": "running"}),
    ("containers", ANY, "files"): Family("cfile_", "container.file", {"path": "/mnt/data/file", "source": "user"}),
    ("evals",): Family("eval_", "eval", {"metadata": {}}),
    ("evals", ANY, "runs"): Family("evalrun_", "eval.run", {"status": "queued"}),
    ("fine_tuning", "jobs"): Family(
        "ftjob-", "fine_tuning.job", {"status": "queued", "fine_tuned_model": None, "result_files": [], "error": None}
    ),
    ("skills",): Family("skill_", "skill"),
    ("threads",): Family("thread_", "thread", {"metadata": {}, "tool_resources": None}),
    ("threads", ANY, "messages"): Family(
        "msg_", "thread.message", {"status": "completed", "attachments": [], "metadata": {}}
    ),
    ("threads", ANY, "runs"): Family("run_", "thread.run", {"status": "completed", "tools": [], "metadata": {}}),
    ("threads", ANY, "runs", ANY, "steps"): Family("step_", "thread.run.step"),
    ("uploads",): Family("upload_", "upload", {"status": "pending", "expires_at": 0}),
    ("uploads", ANY, "parts"): Family("part_", "upload.part"),
    ("vector_stores",): Family(
        "vs_", "vector_store", {"status": "completed", "usage_bytes": 0, "file_counts": _COUNTS, "metadata": {}}
    ),
    ("vector_stores", ANY, "files"): Family("file-", "vector_store.file", _STORED),
    ("vector_stores", ANY, "file_batches"): Family(
        "vsfb_", "vector_store.files_batch", {"status": "completed", "file_counts": _COUNTS}
    ),
    ("videos",): Family("video_", "video", {"status": "queued", "progress": 0}),
}

_ROOTS = frozenset(path[0] for path in FAMILIES)

ENDS_AS = {"cancel": "cancelled", "complete": "completed", "pause": "paused", "resume": "queued"}
"""What is done to a thing, by the word behind its id, and the status that it has then."""


class Place(Struct, frozen=True):
    """What a path is about."""

    family: Family
    shelf: tuple[str, ...]
    """Where the things of that kind stand: the path up to them."""
    thing_id: str = ""
    """Empty = all of them."""
    action: str = ""
    """What stands behind the id; empty = nothing."""


def place_of(parts: Sequence[str]) -> Place | None:
    """What the parts of a path below the API's root are about; None = nothing that is known."""
    if parts[0] not in _ROOTS:
        return None
    for length in range(min(len(parts), 5), 0, -1):
        head, rest = tuple(parts[:length]), parts[length:]
        for path, family in FAMILIES.items():
            if len(rest) <= 2 and len(path) == length and all(p in (ANY, h) for p, h in zip(path, head, strict=True)):
                return Place(family, head, *rest)
    return None
