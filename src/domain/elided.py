"""The outline of a large text: what is left when the middle of its long strings is left out.

An image in base64 is one string of megabytes without a quote in it. A short word between quotes stands in the outline
exactly as often as in the text, and in the same order, and is found there without looking through the image.
"""

_LARGE_BYTES = 32 * 1024  # smaller texts are searched as quickly as their outline would be made

_LONG_BYTES = 4096
_EDGE_BYTES = 1024
"""Strings longer than `_LONG_BYTES` keep this much at either end, so that what is looked for there is found whole, and
nothing is found that was not there. Who looks for longer words has to look through the text."""


def elide_long_strings(text: bytes) -> bytes:
    """The text without the middle of its long strings; itself, where there is nothing to be gained."""
    if len(text) < _LARGE_BYTES:
        return text
    pieces: list[bytes] = []
    kept_to = quote = 0
    while True:
        # Of many quotes close to each other only the last one matters: what may be long begins there.
        last = max(quote, text.rfind(b'"', quote, quote + _LONG_BYTES))
        quote = text.find(b'"', last + 1)
        end = len(text) if quote < 0 else quote
        if end - last > _LONG_BYTES:
            pieces.append(text[kept_to : last + _EDGE_BYTES])
            kept_to = end - _EDGE_BYTES
        if quote < 0:
            break
    if not pieces:
        return text
    pieces.append(text[kept_to:])
    return b"".join(pieces)
