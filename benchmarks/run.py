"""``make bench``: one table of ratios measured in one run on Apache Kafka itself, kept as ``results/latest.json``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.harness.bed import Bed
from benchmarks.harness.events import lines
from benchmarks.harness.report import show
from benchmarks.measures import transport

console = Console()


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="streamgauge-bench-"))
    bed = Bed(folder, options.peers_python)
    try:
        total = 40_000 if options.quick else 200_000
        bed.topics("transport")
        raws = lines(total)
        console.print(f"{total:,} events of {sum(map(len, raws)) / total:,.0f} bytes")
        bed.fill("transport.events", raws)
        rows = transport.measure(bed, "transport.events", total, 1 if options.quick else 3, console.print)
        show(rows, [], console)
    finally:
        bed.close()
        shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", default=".venv-bench/bin/python", help="has Quix Streams and Bytewax")
    parser.add_argument("--quick", action="store_true", help="one short round; its figures are not kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
