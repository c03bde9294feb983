"""OTLP export requests to events: spans per second on one core, by dialect and encoding."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.testbed import Bed
from benchmarks.harness.otlp import BATCH, DIALECTS
from benchmarks.harness.report import Row

FIRST = next(iter(DIALECTS))
MIXED = f"OTLP: {FIRST}, proto, half of the spans no call"


def named(dialect: str, encoding: str) -> str:
    """Return the name of a row."""
    return f"OTLP: {dialect}, {encoding}"


RUNS = {named(dialect, encoding): (dialect, encoding, "0") for encoding in ("proto", "json") for dialect in DIALECTS}
RUNS |= {MIXED: (FIRST, "proto", "0.5")}


def measure(bed: Bed, total: int, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Return a row for each dialect in each encoding, and for one whose spans are half no calls."""
    rates: dict[str, list[float]] = {name: [] for name in RUNS}
    sizes: dict[str, float] = {}
    for turn in range(rounds):
        for name, run in RUNS.items():
            got = bed.contend("ours", "normalise.py", "-", total, *run)
            rates[name].append(got["events"] / got["seconds"])
            sizes[name] = got["kb_each"]
            say(f"round {turn + 1}/{rounds} {name}: {rates[name][-1]:,.0f} spans/s")
    rows = [Row.of(name, found, "spans/s") for name, found in rates.items()]
    return [
        *rows,
        Row.of(f"size of a span: {FIRST}, proto, {BATCH} to a request", [sizes[named(FIRST, "proto")]], "kB"),
    ]
