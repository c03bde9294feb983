"""``make bench``: one table of ratios measured in one run on Apache Kafka itself, kept as ``results/latest.json``.

Exit 1 where a bound that was promised is not held.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.harness.testbed import Bed
from benchmarks.harness.budget import budget
from benchmarks.harness.report import Bound, Row, as_json, show
from benchmarks.suites import agents, gateway, latency, otlp, transport

LATEST = Path(__file__).with_name("results") / "latest.json"
BUDGET = Path(__file__).parents[1] / "docs" / "budget.md"
PARTS = ("transport", "agents", "segments", "latency", "otlp", "gateway")
console = Console()


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-bench-"))
    try:
        rows = _measure(folder, options)
    finally:
        shutil.rmtree(folder)
    bounds = _bounds(rows)
    show(rows, bounds, console)
    if not options.quick and not options.only:
        machine = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "cores": os.cpu_count()}
        machine |= {"processor": platform.machine(), "python": platform.python_version()}
        LATEST.parent.mkdir(exist_ok=True)
        LATEST.write_text(json.dumps(as_json(rows, bounds, machine), indent=1) + "\n")
        BUDGET.write_text(budget(rows, bounds, machine))
    return any(bound.held is False for bound in bounds)


def _measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    rounds, total = (1, 40_000) if options.quick else (3, 200_000)
    rows: list[Row] = []
    for part in dict.fromkeys(options.only or PARTS):
        # A broker of its own: one that still writes the gigabytes of the part before is slow for a minute.
        with Bed(folder / part, options.peers_python) as bed:
            if part == "transport":
                rows += transport.measure(bed, total, 2 * rounds - 1, console.print)
            elif part == "agents":
                bare = next((r.value for r in rows if r.name == transport.BARE), None)
                rows += agents.measure(bed, total // 2, rounds, (transport.BARE, bare or 0.0), console.print)
            elif part == "segments":
                rows += agents.segments(bed, 30_000, 1 if options.quick else 2, console.print)
            elif part == "otlp":
                rows += otlp.measure(bed, 30_000 if options.quick else 90_000, rounds, console.print)
            elif part == "gateway":
                rows += gateway.measure(bed, 20_000 if options.quick else 60_000, rounds, console.print)
            else:
                rows += latency.measure(bed, 30 if options.quick else 600, console.print)
    rows.append(Row("two workers", None, "events/s", note="not measured: needs a core for each and one for the broker"))
    return rows


def _bounds(rows: Sequence[Row]) -> list[Bound]:
    """Say of each promise whether it is held; of a row that was not measured, nothing."""
    found = {row.name: row for row in rows}

    def bound(name: str, text: str, holds: Callable[[Row], bool]) -> Bound:
        row = found.get(name)
        return Bound(name, text, None if row is None or row.value is None else holds(row))

    quix = found["Quix Streams"].ratio or 0.0 if "Quix Streams" in found else 0.0
    return [
        bound(transport.OURS, "at least 0.9 of bare aiokafka", lambda r: (r.ratio or 0) >= 0.9),
        bound(transport.OURS, "above Quix Streams", lambda r: (r.ratio or 0) > quix),
        bound(agents.ALL, "at least 5,000 events/s on one core", lambda r: (r.value or 0) >= 5_000),
        bound(agents.SINK, "faster than a worker writes", lambda r: (r.ratio or 0) >= 1),
        bound(agents.COST, f"at most 1.3 x {agents.FEW} segments", lambda r: (r.ratio or 9) <= 1.3),
        bound(agents.EACH, "at most 16 kB", lambda r: (r.value or 99) <= 16),
        bound(latency.P50, "under 50 ms", lambda r: (r.value or 1e9) < 50),
        bound(latency.P99, "under 200 ms", lambda r: (r.value or 1e9) < 200),
        bound(latency.LONGEST, "no stall over 500 ms", lambda r: (r.value or 1e9) <= 500),
        *(bound(name, "at least 20,000 spans/s on one core", lambda r: (r.value or 0) >= 20_000) for name in otlp.RUNS),
        bound("two workers", "at least 1.7 x one", lambda _: False),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", default=".venv-bench/bin/python", help="has Quix Streams and Bytewax")
    parser.add_argument("--quick", action="store_true", help="one short round; its figures are not kept")
    parser.add_argument("--only", action="append", choices=PARTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
