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
