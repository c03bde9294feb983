"""What hostile texts cost: ``python -m benchmarks.pathological [BYTES] [READER ...]``.

Each family of `tests.pathological`, at 1 MB, is given to each agent, to the pipeline and to the client's redaction, and
timed against prose of the same size; each shape of `tests.linear`, of small parts, against plain messages or events.
Prints the worst families of each as a ratio of time per kB. Exit 1 where one costs more than its bound.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.harness.report import Row
from schemas.settings import Settings
from streams.runtime.registry import build_agents
from tests.linear import Reader, readers, seconds, shape_seconds
from tests.pathological import FAMILIES, ordinary

MOST = 3.0
"""Times prose that a family may cost per kB."""
MOST_REDACTED = 4.5
"""The same of the client's redaction: prose has next to no numbers and mails, and each that is replaced costs."""
SIZE = 1_000_000
PARTS = 2_000
_WORST = 5
_ROUNDS = 2


def main() -> int:
    """Measure, print, and say whether all is within bounds."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    chosen = {name: reader for name, reader in readers().items() if name in (sys.argv[2:] or readers())}
    found = {name: ratios(reader, size) for name, reader in chosen.items()}
    _show(found, size)
    _show_shapes(shape_ratios(PARTS))
    return any(row.ratio > _bound(name) for name, rows in found.items() for row in rows if row.ratio)


def _bound(reader: str) -> float:
    return MOST_REDACTED if reader == "client's redaction" else MOST


def ratios(reader: Reader, size: int) -> list[Row]:
    """Return the time per kB of prose, then of each family, the worst first."""
    _per_kb(reader, ordinary(size), 1)
    prose = _per_kb(reader, ordinary(size), 5)
    rows = [Row(name, _per_kb(reader, make(size), _ROUNDS), "us/kB", to="prose") for name, make in FAMILIES.items()]
    rows = [Row(row.name, row.value, row.unit, (row.value or 0.0) / prose, "prose") for row in rows]
    again = [row for row in rows if (row.ratio or 0.0) > 0.9 * MOST]  # near the bound: more rounds, less noise
    for row in again:
        value = _per_kb(reader, FAMILIES[row.name](size), 4 * _ROUNDS)
        rows[rows.index(row)] = Row(row.name, value, row.unit, value / prose, "prose")
    return [Row("prose", prose, "us/kB"), *sorted(rows, key=lambda row: -(row.ratio or 0.0))]


def _per_kb(reader: Reader, text: str, rounds: int) -> float:
    kb = len(text.encode("utf-8", "replace")) / 1024
    return seconds(lambda: reader(text), rounds) * 1e6 / kb


def shape_ratios(parts: int) -> dict[str, float]:
    """Return the time of all agents for each shape of so many parts, as a multiple of plain messages, or of events."""
    shape_seconds(lambda: build_agents(Settings()), 10, 1)
    whole: dict[str, float] = {}
    for (shape, _), took in shape_seconds(lambda: build_agents(Settings()), parts, 2).items():
        whole[shape] = whole.get(shape, 0.0) + took
    plain = {True: "events of conversation None", False: "user messages"}
    return {shape: took / whole[plain[shape.startswith("events")]] for shape, took in whole.items()}


def _show(found: Mapping[str, list[Row]], size: int) -> None:
    table = Table("reader", "prose, us/kB", "worst families, times prose", title=f"texts of {size:,} bytes")
    for name, (prose, *rows) in found.items():
        worst = "\n".join(f"{row.ratio:.1f}  {row.name}" for row in rows[:_WORST])
        table.add_row(name, f"{prose.value:.2f}", worst, end_section=True)
    Console().print(table)


def _show_shapes(found: Mapping[str, float]) -> None:
    table = Table("shape", "times plain ones", title=f"{PARTS:,} parts of 100 bytes, or as many events; all agents")
    for shape, ratio in sorted(found.items(), key=lambda item: -item[1]):
        table.add_row(shape, f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
