"""Command of ``make bench``: run all benchmarks on Apache Kafka and write ``results/latest.json``.

The exit code is 1 if a bound does not hold.
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

from benchmarks.harness.budget import budget
from benchmarks.harness.report import Bound, Row, as_json, show
from benchmarks.harness.testbed import Testbed
from benchmarks.suites import agents, ingest, latency, otlp, transport

LATEST = Path(__file__).with_name("results") / "latest.json"
BUDGET = Path(__file__).parents[1] / "docs" / "budget.md"
PARTS = ("transport", "agents", "segments", "latency", "otlp", "ingest")
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
    return any(bound.holds is False for bound in bounds)


def _measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    rounds, total = (1, 40_000) if options.quick else (3, 200_000)
    rows: list[Row] = []
    for part in dict.fromkeys(options.only or PARTS):
        # Each part has its own broker, because a broker that still writes the previous part is slow for a minute.
        with Testbed(folder / part, options.peers_python) as testbed:
            if part == "transport":
                rows += transport.measure(testbed, total, 2 * rounds - 1, console.print)
            elif part == "agents":
                bare = next((r.value for r in rows if r.name == transport.BARE), None)
                rows += agents.measure(testbed, total // 2, rounds, (transport.BARE, bare or 0.0), console.print)
            elif part == "segments":
                rows += agents.segments(testbed, 30_000, 1 if options.quick else 2, console.print)
            elif part == "otlp":
                rows += otlp.measure(testbed, 30_000 if options.quick else 90_000, rounds, console.print)
            elif part == "ingest":
                rows += ingest.measure(testbed, 20_000 if options.quick else 60_000, rounds, console.print)
            else:
                rows += latency.measure(testbed, 30 if options.quick else 600, console.print)
    rows.append(
        Row("two workers", None, "events/s", note="not measured: needs one core per worker and one for the broker")
    )
    return rows


def _bounds(rows: Sequence[Row]) -> list[Bound]:
    """Return all bounds; a bound on an unmeasured row has no outcome."""
    by_name = {row.name: row for row in rows}

    def bound(name: str, text: str, holds: Callable[[Row], bool]) -> Bound:
        row = by_name.get(name)
        return Bound(name, text, None if row is None or row.value is None else holds(row))

    quix = by_name["Quix Streams"].ratio or 0.0 if "Quix Streams" in by_name else 0.0
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
    parser.add_argument(
        "--peers-python", default=".venv-bench/bin/python", help="interpreter with Quix Streams and Bytewax"
    )
    parser.add_argument("--quick", action="store_true", help="run one short round without writing the figures")
    parser.add_argument("--only", action="append", choices=PARTS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
