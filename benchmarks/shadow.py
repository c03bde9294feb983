"""Measure the cost of a shadow version per partition: ``python benchmarks/shadow.py``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from processing.pipeline import Record
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from streams.shadow.config import load_shadow_config
from streams.shadow.shadow import Shadow
from streams.worker.warmup import warm
from tests.traffic import lines

EVENTS, CHUNK, ROUNDS = 10_000, 256, 5
VERSIONS = {
    "none": None,
    "other rules": "rules: [{name: any-flag, type: event, metric: injection.flag, threshold: 0.5}]",
    "another drift agent": "drift: {events_per_false_alarm: 2000}",
}


def micros(records: list[Record], settings: Settings) -> tuple[float, float]:
    """Return the microseconds per event of the primary and of the shadow version."""
    plan = load_shadow_config(settings)
    pipeline = build_pipeline(0, settings)
    shadow = Shadow(0, plan, pipeline.alert_engine.rules) if plan else None
    primary_s = shadow_s = 0.0
    for at in range(0, len(records), CHUNK):
        start = time.perf_counter()
        out = pipeline.process(records[at : at + CHUNK])
        between = time.perf_counter()
        if shadow is not None:
            shadow.process(out.steps, out.alerts)
        primary_s += between - start
        shadow_s += time.perf_counter() - between
    return primary_s / len(records) * 1e6, shadow_s / len(records) * 1e6


def main() -> None:
    """Print the medians over rounds of alternating versions."""
    warm(Settings())
    records: list[Record] = [Record(i, decode_event(raw), raw) for i, raw in enumerate(lines(EVENTS))]
    with tempfile.TemporaryDirectory() as folder:
        trees = {}
        for name, text in VERSIONS.items():
            path = Path(folder) / f"{name.replace(' ', '-')}.yaml"
            path.write_text(text or "")
            trees[name] = Settings.model_validate({"worker": {"shadow_file": path if text else None}})
        rounds = [{name: micros(records, tree) for name, tree in trees.items()} for _ in range(ROUNDS)]
    for name in VERSIONS:
        primary, shadow = (median(r[name][i] for r in rounds) for i in (0, 1))
        sys.stdout.write(f"{name:20} primary {primary:6.1f} us/event, shadow {shadow:6.2f} us/event\n")


if __name__ == "__main__":
    main()
