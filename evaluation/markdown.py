"""Markdown tables and figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]


def prose(*sentences: str) -> list[str]:
    """Return the lines of a paragraph, or of a list item that starts with ``- ``, at most 120 characters each."""
    text = " ".join(sentences)
    return textwrap.wrap(text, 120, subsequent_indent="  " if text.startswith("- ") else "", break_long_words=False)


def number(value: float | None, digits: int = 3) -> str:
    """Format a fraction without its leading zero; None and NaN become a dash.

    Examples
    --------
    >>> number(0.5), number(1.0), number(None)
    ('.500', '1.000', '-')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "-"
    return f"{value:.{digits}f}".removeprefix("0") if value >= 0 else f"-{number(-value, digits)}"


def interval(value: Mapping[str, float | None]) -> str:
    """Format a figure and its interval.

    Examples
    --------
    >>> interval({"value": 0.8123, "low": 0.76, "high": 0.85}), interval({"value": None, "low": None, "high": None})
    ('.812 (.760 to .850)', '-')
    """
    if value["value"] is None or value["low"] is None or value["high"] is None:
        return number(value["value"])
    return f"{number(value['value'])} ({number(value['low'])} to {number(value['high'])})"


def nested(figures: Mapping[str, Any], title: str = "") -> list[str]:
    """Return Markdown for nested figures: a table of plain figures, a table of similar groups, sections for the rest.

    Examples
    --------
    >>> nested({"runs": 3, "alone": {"recall": 0.25}, "together": {"recall": 0.5}})[-1]
    '| together | 0.5 |'
    """
    plain = {k: v for k, v in figures.items() if not isinstance(v, Mapping)}
    groups = {k: v for k, v in figures.items() if isinstance(v, Mapping)}
    lines = ["", f"### {title}", ""] if title else []
    if plain:
        lines += table(("", ""), ((k, _shown(v)) for k, v in plain.items()))
    flat = {k: v for k, v in groups.items() if not any(isinstance(x, Mapping) for x in v.values())}
    if len(flat) > 1:
        columns = list(dict.fromkeys(column for v in flat.values() for column in v))
        rows = [(k, *(_shown(v.get(c)) for c in columns)) for k, v in flat.items()]
        lines += [*([""] if plain else []), *table(("", *columns), rows)]
    for k, v in groups.items():
        if len(flat) <= 1 or k not in flat:
            lines += nested(v, f"{title}: {k}" if title else str(k))
    return lines


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
