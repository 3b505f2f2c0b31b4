"""What a path is about, by its first words: the API that administers the account, what is made and kept, what is not.

Below a version root, as OpenAI's API reference has it (openai-python 3.54). Paths are percent-encoded as they came, and
whoever is behind us decodes them, so they are looked at as they will be read.
"""

from urllib.parse import unquote

from msgspec import Struct

ADMINISTRATION = frozenset({"organization", "projects"})  # users, keys, limits and bills of the whole account

_KEEPING = frozenset({
    "agents", "batches", "chatkit", "containers", "evals", "files", "fine_tuning", "models", "safety", "skills",
    "threads", "uploads", "vaults", "vector_stores", "webhook_endpoints", "webhook_event_types",
})  # fmt: skip
"""Families that are about what is kept, whatever model is named beside it."""

_ROUNDS = 3  # so often a path is decoded at most: by each of those that pass it on

_CALLS = frozenset({
    "/chat/completions", "/responses", "/responses/input_tokens", "/responses/compact", "/embeddings", "/completions",
    "/moderations", "/audio/speech", "/audio/transcriptions", "/audio/translations", "/images/generations",
    "/images/edits", "/images/variations",
})  # fmt: skip
"""POSTs that make an answer, which nobody keeps unless the request says so."""

_SHELVES = (
    "/chat/completions", "/responses", "/conversations", "/files", "/batches", "/vector_stores", "/containers",
    "/uploads", "/threads", "/assistants", "/evals", "/fine_tuning/jobs", "/skills", "/videos", "/models",
)  # fmt: skip
"""Where things are kept, each below by an id that the account has only once."""

_MADE_AT = frozenset({*_SHELVES, "/threads/runs"}) - {"/models"}  # POSTs that make one of them


class Place(Struct, frozen=True):
    """What a request line is about, where keys are kept apart."""

    root: str = ""  # the id of the thing that it is about, or about a part of, decoded; empty = it is about none
    is_told_apart: bool = True  # is it known whose affair that is?
    is_list: bool = False  # is it about all things of a kind, whoever made them?


def is_administration(path: str) -> bool:
    """Is it about the provider's account? Also permissions of fine-tuned models, which need an administrator's key."""
    parts = _as_read(path).lower().split("/")
    return parts[0] in ADMINISTRATION or parts[:2] == ["fine_tuning", "checkpoints"]


def asks_a_model(method: str, path: str) -> bool:
    """May it be a call of a model that it names, rather than a way to what the account keeps?"""
    family, _, below = _as_read(path).lower().strip("/").partition("/")
    return method == "POST" and family not in _KEEPING and not (family in {"assistants", "videos"} and below)


def place_of(method: str, path: str) -> Place:
    if method == "POST" and (path in _CALLS or path in _MADE_AT):
        return Place()
    for shelf in _SHELVES:
        if path.rstrip("/") == shelf:
            return Place(is_told_apart=False, is_list=True)
        if path.startswith(f"{shelf}/"):
            # The name of a model may have slashes in it.
            below = path.removeprefix(f"{shelf}/")
            root = below if shelf == "/models" else below.partition("/")[0]
            return Place(root=unquote(root), is_told_apart=bool(root))
    return Place(is_told_apart=False)


def _as_read(path: str) -> str:
    """Without what some leave out: a slash too many, parameters of a segment."""
    text = path
    for _ in range(_ROUNDS):
        text = unquote(text)
    return text.replace("\\", "/").lstrip("/ .").replace(";", "/")
