"""What a message may quote of a configuration file: nothing that could be a credential."""

import re

_MAX_SHOWN = 60  # characters of a value
_MAX_SEARCHED = 500  # characters; the search is slow on long texts, which no setting takes anyway

# Prefixes of well-known credentials, UUIDs, and long runs with a digit in them (hex, base64).
_CREDENTIAL = re.compile(
    r"(?i:\b(?:sk|pk|rk)[-_])|\beyJ|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-|(?=[A-Za-z_+/=]*[0-9])[A-Za-z0-9_+/=]{20,}"
)
# A URL, or one whose scheme was forgotten.
_URL = re.compile(r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]{0,20}:/{1,3})?)(?P<address>[^\s/?#\\][^\s?#\\]*)(?P<more>\S*)")
_KEY_PREFIX = re.compile(r"(?i:sk|pk|rk)[-_]|eyJ")


def shown(text: str) -> str:
    """`text` as a message may quote it: escaped, cut, hidden where it could be a credential; URLs as `shown_url`."""
    if (url := shown_url(text)) is not None:
        return url
    if may_be_credential(text):
        return "a text that is not shown, because it may be a credential"
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
    escaped = cut.encode("unicode_escape").decode("ascii") if not cut.isprintable() else cut
    return f'"{escaped}"'


def shown_url(text: str) -> str | None:
    """Scheme, host and path of the URL that `text` is, in quotes; None = it is none that could be shown."""
    found = _URL.fullmatch(text) if len(text) <= _MAX_SEARCHED and text.isascii() else None
    if found is None:
        return None
    scheme, address, more = found["scheme"], found["address"], found["more"]
    if "@" in more:  # a password with a ? or a # in it
        return f'"{scheme}..."' if scheme else None
    user, _, address = address.rpartition("@")
    host, slash, path = address.partition("/")
    if not _is_shown_host(host, has_scheme=bool(scheme)):
        return None
    segments = "/".join("..." if may_be_credential(segment) else segment for segment in path.split("/"))
    return f'"{scheme}{"...@" if user else ""}{host}{slash}{segments}{more and more[0] + "..."}"'


def _is_shown_host(host: str, *, has_scheme: bool) -> bool:
    """A key that stands where a URL should is no host; names of real ones are as long and as odd as keys."""
    labels = host.partition(":")[0].split(".")
    if any(_KEY_PREFIX.match(label) for label in labels):
        return False
    if has_scheme and len(labels) > 1:
        return True
    return (has_scheme or len(labels) > 1) and not any(may_be_credential(label) for label in labels)


def may_be_credential(text: str) -> bool:
    """Whether `text` could be a key, or a URL that holds one. Errs on the side of hiding."""
    if len(text) > _MAX_SEARCHED:
        return True
    is_url_with_more = "://" in text and any(mark in text for mark in "@?#")
    return is_url_with_more or _CREDENTIAL.search(text) is not None


def shown_path(path: str, key: str) -> str:
    """The path of `key` inside `path`; a key that no path can show is replaced by `<...>`."""
    is_plain = re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key) is not None
    name = key if is_plain and not may_be_credential(key) else "<...>"
    return f"{path}.{name}" if path else name
