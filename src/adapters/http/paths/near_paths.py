"""Finds the path that was probably meant by one that is not served: base URLs are easily a piece too long or too short.

No redirect says so, but the text of the 404: a client that follows a redirect with a POST loses its body, or its key.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from urllib.parse import unquote

_MAX_PATH = 200  # longer ones are not compared: comparing is slow, and they are no slips

_BEFORE = frozenset({"api", "azure", "beta", "inference", "llm", "llmproxy", "openai", "proxy", "v1", "v1beta", "v2"})
"""What roots of other services are made of."""

_LIKE = 0.9  # how like a path must be to one that is served before it is taken for a slip of it (difflib's ratio)


def nearest(path: str, served: Sequence[str]) -> str | None:
    """The one of `served` (paths below the version root) that `path` was meant to be; None = none is near."""
    words = _words(path)
    while words and words[0] in _BEFORE:
        del words[0]
    while words and words[-1] == "v1":
        del words[-1]
    for count in (2, 1):
        if (tail := "/" + "/".join(words[-count:])) in served:
            return tail
    near = get_close_matches("/" + "/".join(words), served, n=1, cutoff=_LIKE) if words else []
    return near[0] if near else None


def is_slip(path: str, served: Sequence[str]) -> bool:
    """Is this, below a version root, a misspelling of what is served, and so not for the provider to know?"""
    words = _words(path)
    whole = "/" + "/".join(words)
    return whole in served or any(
        near.count("/") == len(words) for near in get_close_matches(whole, served, n=3, cutoff=_LIKE)
    )


def _words(path: str) -> list[str]:
    return [word for word in unquote(path).lower().split("/") if word] if len(path) <= _MAX_PATH else []
