"""What stands for a provider's id in a store: of a fixed length, and useless to somebody who sees it."""

import hashlib


def id_digest(text: str) -> str:
    """128 bits of SHA-256 in hex. Any text has one, also one that is not Unicode, as JSON can hold it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
