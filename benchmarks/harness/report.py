"""Rows, bounds, their table and ``latest.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """Figure of a benchmark, optionally relative to another row.

    Attributes
    ----------
    value
        Median over rounds; None if it was not measured, with the reason in ``note``.
    ratio, to
        ``value`` divided by the value of the row ``to`` of the same run.
    spread
        (maximum - minimum) / median over rounds.
    """

    name: str
    value: float | None
    unit: str
    ratio: float | None = None
    to: str = ""
    spread: float | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str, to: str = "", base: float = 0.0) -> Row:
        """Return the row for the values of all rounds."""
        middle = median(values)
        spread = (max(values) - min(values)) / middle if len(values) > 1 and middle else None
        return cls(name, middle, unit, middle / base if base else None, to, spread)


@dataclass(frozen=True, slots=True)
class Bound:
    """Bound on a row, and whether it holds."""

    row: str
    text: str
    holds: bool | None


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as one table."""
    out = Table(show_edge=False, header_style="bold")
    for name, justify in (
        ("measurement", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("ratio", "right"),
        ("spread", "right"),
    ):
        out.add_column(name, justify=justify)  # type: ignore[arg-type] # rich's Literal
    for row in rows:
        value = "-" if row.value is None else figure(row.value)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} x {row.to}"
        spread = "" if row.spread is None else f"{row.spread:.0%}"
        out.add_row(row.name + (f"  ({row.note})" if row.note else ""), value, row.unit, ratio, spread)
    return out


def show(rows: Sequence[Row], bounds: Sequence[Bound], console: Console) -> None:
    """Print the table and the bounds."""
    console.print(table(rows))
    for bound in bounds:
        mark = {True: "[green]holds [/green]", False: "[red]BROKEN[/red]", None: "not measured"}[bound.holds]
        console.print(f"{mark} {bound.row}: {bound.text}", highlight=False)


def as_json(rows: Sequence[Row], bounds: Sequence[Bound], machine: dict[str, object]) -> dict[str, object]:
    """Return the content of ``latest.json``."""
    return {**machine, "rows": [asdict(r) for r in rows], "bounds": [asdict(b) for b in bounds]}


def figure(value: float) -> str:
    """Format a value with three significant digits, or as an integer from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
