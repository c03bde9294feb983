"""Measure the cost of hostile texts: ``python -m benchmarks.pathological [BYTES] [READER ...]``.

Each agent, the pipeline and the client's redaction process each family of `tests.pathological` at 1 MB; the time is
compared with prose of the same size. Each shape of `tests.linear` is compared with plain messages or events. The script
prints the worst families as ratios of time per kB. The exit code is 1 if a family exceeds its bound.
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

MAX_RATIO = 3.0
"""Maximum cost per kB of a family relative to prose."""
MAX_RATIO_REDACTION = 4.5
"""Maximum cost for the client's redaction, where each replacement costs and prose has few numbers and addresses."""
SIZE = 1_000_000
PARTS = 2_000
_WORST = 5
_ROUNDS = 2


def main() -> int:
    """Measure and print; return 1 if a family exceeds its bound."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SIZE
    chosen = {name: reader for name, reader in readers().items() if name in (sys.argv[2:] or readers())}
    results = {name: ratios(reader, size) for name, reader in chosen.items()}
    _show(results, size)
    _show_shapes(shape_ratios(PARTS))
    return any(row.ratio > _bound(name) for name, rows in results.items() for row in rows if row.ratio)


def _bound(reader: str) -> float:
    return MAX_RATIO_REDACTION if reader == "client's redaction" else MAX_RATIO


def ratios(reader: Reader, size: int) -> list[Row]:
    """Return the time per kB of prose and of each family, the worst first."""
    _per_kb(reader, ordinary(size), 1)
    prose = _per_kb(reader, ordinary(size), 5)
    rows = [Row(name, _per_kb(reader, make(size), _ROUNDS), "us/kB", to="prose") for name, make in FAMILIES.items()]
    rows = [Row(row.name, row.value, row.unit, (row.value or 0.0) / prose, "prose") for row in rows]
    close = [row for row in rows if (row.ratio or 0.0) > 0.9 * MAX_RATIO]  # more rounds for less noise near the bound
    for row in close:
        value = _per_kb(reader, FAMILIES[row.name](size), 4 * _ROUNDS)
        rows[rows.index(row)] = Row(row.name, value, row.unit, value / prose, "prose")
    return [Row("prose", prose, "us/kB"), *sorted(rows, key=lambda row: -(row.ratio or 0.0))]


def _per_kb(reader: Reader, text: str, rounds: int) -> float:
    kb = len(text.encode("utf-8", "replace")) / 1024
    return seconds(lambda: reader(text), rounds) * 1e6 / kb


def shape_ratios(parts: int) -> dict[str, float]:
    """Return the time of all agents for each shape with ``parts`` parts, relative to plain messages or events."""
    shape_seconds(lambda: build_agents(Settings()), 10, 1)
    total: dict[str, float] = {}
    for (shape, _), seconds_ in shape_seconds(lambda: build_agents(Settings()), parts, 2).items():
        total[shape] = total.get(shape, 0.0) + seconds_
    plain = {True: "events of conversation None", False: "user messages"}
    return {shape: s / total[plain[shape.startswith("events")]] for shape, s in total.items()}


def _show(results: Mapping[str, list[Row]], size: int) -> None:
    table = Table("reader", "prose, us/kB", "worst families, ratio to prose", title=f"texts of {size:,} bytes")
    for name, (prose, *rows) in results.items():
        worst = "\n".join(f"{row.ratio:.1f}  {row.name}" for row in rows[:_WORST])
        table.add_row(name, f"{prose.value:.2f}", worst, end_section=True)
    Console().print(table)


def _show_shapes(ratios_by_shape: Mapping[str, float]) -> None:
    table = Table("shape", "ratio to plain", title=f"{PARTS:,} parts of 100 bytes or {PARTS:,} events; all agents")
    for shape, ratio in sorted(ratios_by_shape.items(), key=lambda item: -item[1]):
        table.add_row(shape, f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
