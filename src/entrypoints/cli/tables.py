"""Tables for people: drawn by rich on a terminal, plain lines anywhere else."""

import shutil
from collections.abc import Sequence
from typing import TextIO

_FRAME = 3  # characters that a drawn column takes beside its text
_FOLDED = 40  # characters of a column of sentences that read well enough below each other


def print_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    """Prints nothing where there are no rows."""
    if not rows:
        return
    if stream.isatty():
        _draw(title, headers, rows, stream)
        return
    print(f"{title}:", file=stream)
    for row in rows:
        print("  " + ": ".join(printable(cell) for cell in row), file=stream)


def print_columns(
    title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO, *, last_may_fold: bool = False
) -> None:
    """The same with aligned columns where no terminal is, and a paragraph for each row where the terminal is too narrow
    for the table. A column without any text is left out. `last_may_fold`: does the last hold sentences, which may take
    several lines of a table?"""
    if not rows:
        return
    kept = [place for place in range(len(headers)) if any(row[place] for row in rows)]
    heads, cells = [headers[place] for place in kept], [[printable(row[place]) for place in kept] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    drawn = [*widths[:-1], min(widths[-1], _FOLDED)] if last_may_fold else widths
    if stream.isatty() and sum(drawn) + _FRAME * len(drawn) < shutil.get_terminal_size().columns:
        print_table(title, heads, cells, stream)
        return
    if stream.isatty():
        for row in cells:
            said = "; ".join(f"{head}: {cell}" for head, cell in zip(heads[1:], row[1:], strict=True) if cell)
            print(f"{row[0]}: {said}", file=stream)
        return
    for row in (heads, *cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"  {line}".rstrip(), file=stream)


def _draw(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    # Only here: no command that writes to a file or a pipe waits for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left", title_style="bold", show_lines=True)
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(file=stream).print(table)


def printable(text: str) -> str:
    """The text without what a terminal would act on."""
    return "".join(each if each.isprintable() else "?" for each in text)
