"""What is wrong with a configuration file: collected until everything was looked at, then told at once."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

MAX_PRINTED = 100  # mistakes; a file with more of them is most likely no configuration at all
_MAX_SHOWN = 60  # characters of a value
_MAX_SEARCHED = 500  # characters; the search is slow on long texts, which no setting takes anyway

# Prefixes of well-known credentials, UUIDs, and long runs with a digit in them (hex, base64).
_CREDENTIAL = re.compile(
    r"(?i:\b(?:sk|pk|rk)[-_])|\beyJ|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-|(?=[A-Za-z_+/=]*[0-9])[A-Za-z0-9_+/=]{20,}"
)
# A URL, or one whose scheme was forgotten.
_URL = re.compile(r"(?P<scheme>(?:[A-Za-z][A-Za-z0-9+.-]{0,20}:/{1,3})?)(?P<address>[^\s/?#\\][^\s?#\\]*)(?P<more>\S*)")
_KEY_PREFIX = re.compile(r"(?i:sk|pk|rk)[-_]|eyJ")


class Mistake(Struct, frozen=True):
    """One thing to mend. `line` counts from 1, None = no particular line; `path` "" = the file itself."""

    text: str
    path: str = ""
    line: int | None = None

    def sentence(self, file: Path) -> str:
        """The printed form: `file:line: path: text`."""
        place = f"{file}:{self.line}" if self.line is not None else str(file)
        return ": ".join(part for part in (place, self.path, self.text) if part)


class ConfigError(Exception):
    """The configuration cannot be used. `str(error)` is the whole report, ready to print, without secrets."""

    def __init__(self, file: Path, mistakes: Sequence[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line or 0))
        super().__init__(self._report())

    def _report(self) -> str:
        lines = [mistake.sentence(self.file) for mistake in self.mistakes[:MAX_PRINTED]]
        hidden = len(self.mistakes) - MAX_PRINTED
        if hidden > 0:
            lines.append(f"{self.file}: and {hidden} more")
        return "\n".join(lines)


class Report:
    """Collects the mistakes of one file and its warnings, and remembers on which line each key stands."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        self.warnings: list[str] = []
        self._lines: dict[str, int] = {}

    def locate(self, path: str, line: int) -> None:
        """Remember that the key or item `path` stands on `line`."""
        self._lines[path] = line

    def add(self, path: str, text: str) -> None:
        """One more mistake at `path`, on the line that `locate` was told, if it was."""
        self.mistakes.append(Mistake(text, path, self._lines.get(path)))

    def warn(self, path: str, text: str) -> None:
        """Something the reader should know and that does not stop the proxy from starting."""
        self.warnings.append(Mistake(text, path, self._lines.get(path)).sentence(self.file))

    def fail(self, text: str, line: int | None = None) -> NoReturn:
        """Give up at once: what comes after this mistake cannot be read."""
        raise ConfigError(self.file, [*self.mistakes, Mistake(text, line=line)])

    def raise_if_any(self) -> None:
        """Raise `ConfigError` with all mistakes; does nothing when there are none."""
        if self.mistakes:
            raise ConfigError(self.file, self.mistakes)


def shown(text: str) -> str:
    """`text` as a message may quote it: escaped, cut, and hidden where it could be a credential; of a URL what
    `shown_url` leaves."""
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
