"""Tables for people: drawn by rich on a terminal, plain lines anywhere else."""

from collections.abc import Sequence
from typing import TextIO


def print_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    """Prints nothing where there are no rows."""
    if not rows:
        return
    if stream.isatty():
        _draw(title, headers, rows, stream)
        return
    print(f"{title}:", file=stream)
    for row in rows:
        print("  " + ": ".join(_printable(cell) for cell in row), file=stream)


def print_columns(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> None:
    """The same with aligned columns where no terminal is; a column without any text is left out."""
    kept = [place for place in range(len(headers)) if any(row[place] for row in rows)]
    heads, cells = [headers[place] for place in kept], [[_printable(row[place]) for place in kept] for row in rows]
    if stream.isatty() or not rows:
        print_table(title, heads, cells, stream)
        return
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
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
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(cell)) for cell in row))
    Console(file=stream).print(table)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
