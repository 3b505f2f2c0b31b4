"""What README and docs show in fences: commands, configurations, programs; and what they say of those not tried."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
SHELL = ("sh", "bash", "shell", "console")

_FENCE = re.compile(
    r"(?:^<!-- not tried: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Block(Struct, frozen=True):
    """One fence of a page."""

    page: str
    line: int
    language: str
    text: str
    not_tried: str
    """The reason that the page gives in a comment above it; empty = it is tried."""

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All fences of these languages, in the order of the pages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]


def blocks_of(page: Path) -> Iterator[Block]:
    """The fences of one page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("language")) + 1
        reason = (found["reason"] or "").strip()
        yield Block(str(page.relative_to(ROOT)), line, found["language"], found["text"], reason)
