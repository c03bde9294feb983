"""Rows of values, for a reader or for another program."""

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
    """Print rows; no value is cut.

    On a terminal it is a table where that fits, else a line for each value. Elsewhere it is tab-separated with the
    names first, as ClickHouse writes ``TSVWithNames``.
    """
    if not console.is_terminal:
        for line in (columns, *rows):
            sys.stdout.write("\t".join("" if v is None else escaped(str(v).translate(_ESCAPES)) for v in line) + "\n")
        return
    cells = [[_text(value) for value in row] for row in rows]
    if not cells:
        console.print(f"no rows of {', '.join(columns)}", highlight=False, markup=False)
    elif len(columns) > 1 and _width(columns, cells) > console.width:
        width = max(map(len, columns))
        for line in cells:
            for name, cell in zip(columns, line, strict=True):
                console.print(f"[bold]{escape(name):>{width}}[/bold]  {escape(cell)}", highlight=False)
            console.print()
    else:
        shown = Table()
        for name in columns:
            shown.add_column(name, overflow="fold")
        for line in cells:
            shown.add_row(*map(escape, line))
        console.print(shown)


def _width(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Characters of a table with its lines; a value of several lines counts by its longest."""
    widest = [max(len(line) for cell in (name, *given) for line in cell.split("\n"))
              for name, *given in zip(columns, *cells, strict=True)]  # fmt: skip
    return sum(widest) + 3 * len(widest) + 1


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
