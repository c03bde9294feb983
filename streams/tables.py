"""Rows of values, for a reader or for another program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_NARROWEST = 12
"""Characters of a column below which a table is no longer read."""
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n"})


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], console: Console) -> None:
    """Print rows; no value is cut.

    On a terminal it is a table, or a line for each value where there are too many columns for its width. Elsewhere it
    is tab-separated with the names first, as ClickHouse writes ``TSVWithNames``.
    """
    if not console.is_terminal:
        for line in (columns, *rows):
            sys.stdout.write("\t".join("" if v is None else str(v).translate(_ESCAPES) for v in line) + "\n")
        return
    cells = [[_text(value) for value in row] for row in rows]
    if len(columns) * _NARROWEST > console.width:
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


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
