"""``make quality``: measure the agents on sources they never saw, write ``docs/quality.md``.

    python -m evaluation --data ../shared/data [--only injection ...] [--jobs 2]
    python -m evaluation --page

Figures are kept by part in ``evaluation/results/quality.json``; the page is written from that file, so that one part
can be measured anew without the others. Each part tells when it was measured and on which commit.
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
OWN: dict[str, Measure] = {
    "injection": injection.measure,
    "baselines": injection.measure_baselines,
    "languages": injection.languages,
    "shipped": shipped.measure,
    "feedback": feedback.measure,
    "attack_share": attack_share.measure,
    "hallucination": hallucination.measure,
}
"""Parts of this folder, in the order of the page."""


def main() -> None:
    options = _options()
    kept: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    begin = time.monotonic()
    for name in () if options.page else options.only or parts():
        started = time.monotonic()
        say = _teller(name, begin)
        say("begins")
        found = parts()[name](options.data, options.jobs, say)
        kept[name] = {"at": datetime.now(UTC).isoformat(timespec="minutes"), "commit": _commit()}
        kept[name] |= {"minutes": round((time.monotonic() - started) / 60, 1), "figures": found}
        FIGURES.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(render.page({name: kept[name] for name in (*OWN, *SECTIONS) if name in kept}))


def parts() -> dict[str, Measure]:
    """Return what can be measured here, by name, in the order of the page."""
    return OWN | {name: _of_module(name) for name in SECTIONS if find_spec(f"evaluation.{name}")}


def _of_module(name: str) -> Measure:
    """Measure by a module that has ``measure(data)`` and no processes of its own."""

    def run(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
        del jobs, say
        found: dict[str, Any] = import_module(f"evaluation.{name}").measure(data)
        return found

    return run


def _teller(name: str, begin: float) -> Callable[[str], None]:
    def say(text: str) -> None:
        print(f"{(time.monotonic() - begin) / 60:5.1f} min  {name}: {text}", flush=True)

    return say


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="folder with the labelled data")
    what.add_argument(
        "--page", action="store_true", help="measure nothing, write the page from the figures that are kept"
    )
    parser.add_argument("--only", action="append", choices=list(parts()), help="measure this part; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="processes that train folds side by side")
    return parser.parse_args()


if __name__ == "__main__":
    main()
