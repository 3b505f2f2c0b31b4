"""What a client chose, as it may be shown: in a line of the log, to people and to programs that read it."""

import re

from domain.bounded_memo import Remembered

LONGEST_TEXT, LONGEST_PATH = 64, 300  # how much of it is shown: letters, or bytes

# What JSON leaves as it is, and a terminal or an editor acts on: control characters, line separators, text that runs
# backwards, halves of letters.
_UNSEEN = re.compile(r"[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


def shown(text: str) -> str:
    """The text without what would be seen as something else. Quotes are escaped where it is written."""
    return text if text.isascii() and text.isprintable() else _UNSEEN.sub("\ufffd", text)


SHOWN_HEADERS = Remembered[bytes, str](lambda value: shown(value[:LONGEST_TEXT].decode("latin-1")), most=256)
"""Values of headers of which few are different, cut and shown."""


def shown_id(value: bytes) -> str:
    """A client's own id of a request; empty = it is no printable ASCII, and nobody's id."""
    text = value[:LONGEST_TEXT].decode("latin-1")
    return text if text.isascii() and text.isprintable() else ""
