"""Table output for terminals and for pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.runtime.terminal import escaped

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\0": r"\0"})


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], console: Console) -> None:
    """Print rows without truncating values.

    A terminal gets a table, or one line per value if the table is too wide. Other outputs get tab-separated lines
    after a line of column names, as in ClickHouse's ``TSVWithNames``.
    """
    if not console.is_terminal:
        for line in (columns, *rows):
            sys.stdout.write("\t".join("" if v is None else escaped(str(v).translate(_ESCAPES)) for v in line) + "\n")
        return
    cells = [[_text(value) for value in row] for row in rows]
    if not cells:
        console.print("no rows", highlight=False, markup=False)
    elif len(columns) > 1 and _width(columns, cells) > console.width:
        width = max(map(len, columns))
        for line in cells:
            for name, cell in zip(columns, line, strict=True):
                console.print(f"[bold]{escape(name):>{width}}[/bold]  {escape(cell)}", highlight=False)
            console.print()
    else:
        table = Table()
        for name in columns:
            table.add_column(name, overflow="fold")
        for line in cells:
            table.add_row(*map(escape, line))
        console.print(table)


def _width(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Return the table's width in characters, borders included; a multi-line value counts by its longest line."""
    widest = [max(len(line) for cell in (name, *values) for line in cell.split("\n"))
              for name, *values in zip(columns, *cells, strict=True)]  # fmt: skip
    return sum(widest) + 3 * len(widest) + 1


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
