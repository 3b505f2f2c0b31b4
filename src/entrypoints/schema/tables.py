"""`python -m entrypoints.schema.tables PAGE...`: tables of the docs that are made of the code.

In a page each stands between marks such as `<!-- settings: NAME -->` and `<!-- /settings -->`; what is around it is
written by hand.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from adapters.metrics import table as metrics
from entrypoints.config.reading.schema import Kind, Section, keys_of, required_of
from entrypoints.config.settings import EndpointSettings, GeneralSettings, GroupSettings, NamedKey
from entrypoints.config.settings_cache import CacheParams
from entrypoints.config.settings_params import ParamsSettings, TimeoutParts
from entrypoints.config.settings_price import PriceSettings
from entrypoints.config.value_types import SIZE
from entrypoints.schema.field_docs import field_docs
from entrypoints.schema.json_schema import is_inherited

SECTIONS: dict[str, type[Section]] = {
    each.__name__: each
    for each in (
        GeneralSettings,
        CacheParams,
        NamedKey,
        GroupSettings,
        EndpointSettings,
        PriceSettings,
        ParamsSettings,
        TimeoutParts,
    )
}
_BLOCK = re.compile(r"(<!-- (settings|refused|metrics): (\w+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with its tables made anew. Raises `KeyError` for a section that does not exist."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_made(found[2], found[3])}{found[4]}", page)


def _made(kind: str, name: str) -> str:
    if kind == "metrics":
        return metrics.markdown()
    return (settings_table if kind == "settings" else refused_table)(SECTIONS[name])


def settings_table(section: type[Section]) -> str:
    rows = [(f"`{key}`", *_told(section, key, kind)) for key, kind in keys_of(section).items()]
    return _table(("setting", "default", "valid", "meaning"), rows)


def refused_table(section: type[Section]) -> str:
    rows = [(f"`{key}`", reason, _code(fix)) for key, (reason, fix) in section.refused.items()]
    return _table(("refused", "as", "instead"), rows)


def _told(section: type[Section], key: str, kind: Kind) -> tuple[str, str, str]:
    if is_inherited(section, key):
        return "that of `general_settings`", _code(kind.valid), "As there, for this model."
    default = "required" if key in required_of(section) else _default(section, key, kind)
    return default, _code(kind.valid), field_docs(section).get(key, "")


def _default(section: type[Section], key: str, kind: Kind) -> str:
    value: Any = next(field.default for field in structs.fields(section) if field.name == key)
    if kind.form == SIZE:
        return f"{value >> 20} MiB"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.12g}"
    return _code(value) if isinstance(value, str) and value else "none"


def _code(text: str) -> str:
    """The text with addresses and names set as code, in which Markdown would see marks of its own."""
    return re.sub(r"[a-z]\S*(?:://|_)[^\s,]*\b/*", r"`\g<0>`", text)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def main(pages: Sequence[str]) -> int:
    for page in map(Path, pages):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
