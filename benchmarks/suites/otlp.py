"""Benchmark of OTLP normalisation: spans per second on one core, by dialect and encoding."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.otlp import BATCH, DIALECTS
from benchmarks.harness.report import Row
from benchmarks.harness.testbed import Testbed

FIRST = next(iter(DIALECTS))
MIXED = f"OTLP: {FIRST}, proto, half of the spans no call"


def named(dialect: str, encoding: str) -> str:
    """Return the row name of a dialect and encoding."""
    return f"OTLP: {dialect}, {encoding}"


RUNS = {named(dialect, encoding): (dialect, encoding, "0") for encoding in ("proto", "json") for dialect in DIALECTS}
RUNS |= {MIXED: (FIRST, "proto", "0.5")}


def measure(testbed: Testbed, total: int, rounds: int, log: Callable[[str], None]) -> list[Row]:
    """Return a row for each dialect and encoding, and one for requests in which half of the spans are no calls."""
    rates: dict[str, list[float]] = {name: [] for name in RUNS}
    sizes: dict[str, float] = {}
    for turn in range(rounds):
        for name, run in RUNS.items():
            result = testbed.run_baseline("ours", "normalise.py", "-", total, *run)
            rates[name].append(result["events"] / result["seconds"])
            sizes[name] = result["kb_each"]
            log(f"round {turn + 1}/{rounds} {name}: {rates[name][-1]:,.0f} spans/s")
    rows = [Row.of(name, values, "spans/s") for name, values in rates.items()]
    return [
        *rows,
        Row.of(f"size of a span: {FIRST}, proto, {BATCH} to a request", [sizes[named(FIRST, "proto")]], "kB"),
    ]
