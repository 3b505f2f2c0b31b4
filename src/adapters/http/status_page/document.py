"""The status page as one document: its markup, style and script in one reply, and the policy that lets nothing else in.

The script and the style are allowed by their hashes (CSP 3, 2.3.1), so that the bytes are the same for everybody.
"""

import base64
import hashlib
from pathlib import Path

from msgspec import Struct

_FOLDER = Path(__file__).parent
_SCRIPTS = ("dom.js", "words.js", "endpoints.js", "overview.js", "decisions.js", "page.js")
"""In the order in which they need each other."""


class Document(Struct, frozen=True):
    """The page, ready to be sent."""

    html: bytes
    headers: tuple[tuple[str, str], ...]  # what browsers are told of it, beside its type


def status_document() -> Document:
    style = _text("page.css")
    script = "\n".join(map(_text, _SCRIPTS))
    html = _text("page.html").replace("<style></style>", f"<style>{style}</style>")
    html = html.replace("<script></script>", f"<script>{script}</script>")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return Document(
        html.encode(),
        (
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-cache"),
            ("vary", "accept"),
        ),
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
