"""Command of ``make quality``: measure the agents on held-out sources and write ``docs/quality.md``.

    python -m evaluation --data ../shared/data [--only injection ...] [--jobs 2]
    python -m evaluation --page

Figures are stored by part in ``evaluation/results/quality.json``. The page is written from that file, so that one part
can be measured again without the others. Each part records its time and commit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evaluation import attack_share, feedback, hallucination, injection, render, shipped
from evaluation.modules import SECTIONS

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "evaluation" / "results" / "quality.json"
PAGE = ROOT / "docs" / "quality.md"

Measure = Callable[[Path, int, Callable[[str], None]], dict[str, Any]]
CORE_PARTS: dict[str, Measure] = {
    "injection": injection.measure,
    "baselines": injection.measure_baselines,
    "languages": injection.languages,
    "shipped": shipped.measure,
    "feedback": feedback.measure,
    "attack_share": attack_share.measure,
    "hallucination": hallucination.measure,
}
"""Parts with processes of their own, in the order of the page."""


def main() -> None:
    options = _options()
    results: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    start = time.monotonic()
    for name in () if options.page else options.only or parts():
        part_start = time.monotonic()
        log = _logger(name, start)
        log("started")
        figures = parts()[name](options.data, options.jobs, log)
        results[name] = {"at": datetime.now(UTC).isoformat(timespec="minutes"), "commit": _commit()}
        results[name] |= {"minutes": round((time.monotonic() - part_start) / 60, 1), "figures": figures}
        FIGURES.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(render.page({name: results[name] for name in (*CORE_PARTS, *SECTIONS) if name in results}))


def parts() -> dict[str, Measure]:
    """Return the measurable parts by name, in the order of the page."""
    return CORE_PARTS | {name: _of_module(name) for name in SECTIONS if find_spec(f"evaluation.{name}")}


def _of_module(name: str) -> Measure:
    """Return the measurement of a module with ``measure(data)`` and no processes of its own."""

    def run(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
        del jobs, log
        figures: dict[str, Any] = import_module(f"evaluation.{name}").measure(data)
        return figures

    return run


def _logger(name: str, start: float) -> Callable[[str], None]:
    def log(text: str) -> None:
        print(f"{(time.monotonic() - start) / 60:5.1f} min  {name}: {text}", flush=True)

    return log


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder with the labelled data")
    source.add_argument("--page", action="store_true", help="write the page from the stored figures without measuring")
    parser.add_argument("--only", action="append", choices=list(parts()), help="measure only this part (repeatable)")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes that train folds in parallel")
    return parser.parse_args()


if __name__ == "__main__":
    main()
