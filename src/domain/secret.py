"""A text that must never be seen: an API key, a password, a URL with credentials in it."""

from hmac import compare_digest
from typing import NoReturn, SupportsIndex


class Secret:
    """Holds a secret so that no log line, message, trace or dump can show it by accident.

    `repr`, `str` and `format` give `***`; msgspec and json refuse to encode it, pickle refuses to
    store it. The text comes out through `reveal()` only, which is easy to search for in a review.
    Two secrets are equal when their texts are (compared in constant time), and may be dict keys.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wraps `text` as it is; an empty text is allowed and stays the caller's business."""
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that puts it on the wire."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(_bytes(self), _bytes(other))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


def _bytes(secret: Secret) -> bytes:
    # A variable of the environment may hold bytes that are no UTF-8; Python keeps them as surrogates.
    return secret.reveal().encode("utf-8", "surrogateescape")
