"""Pipeline of one partition without Kafka over a given number of apps: time per event and memory per app.

Every app is past its drift reference when the measurement starts, so all of its charts are active.
"""

from __future__ import annotations

import gc
import sys
import time
from itertools import islice

import orjson
from throughput_probe import arguments, resident_mb

from benchmarks.harness.events import lines
from processing.pipeline import Record
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from streams.worker.warmup import warm

REFERENCE = 50
CHUNK = 256
SLICE = 8 * CHUNK
WARM_UP_EVENTS = 60_000
"""Minimum number of warm-up events; fills the event buffers (deduplication, labels) for any number of apps."""
STEP_MS = 4
"""Time between events for 250 events/s, a quarter of 1,000 events/s."""

FLUSH = 2_000 // STEP_MS
"""Number of events between two publications of the open windows."""


def main() -> None:
    _, _, probe = arguments()
    apps = int(sys.argv[4])
    settings = Settings(drift={"reference_events": REFERENCE})
    warm(settings)
    pipeline = build_pipeline(0, settings)
    offset = 0
    before = resident_mb()

    def process(raws: list[bytes]) -> float:
        nonlocal offset
        seconds = 0.0
        for k in range(0, len(raws), CHUNK):
            start = time.perf_counter()
            pipeline.process([Record(offset + i, decode_event(r), r) for i, r in enumerate(raws[k : k + CHUNK])])
            offset += len(raws[k : k + CHUNK])
            if offset % FLUSH < CHUNK:
                for row in pipeline.open_aggregates():
                    orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS)
            seconds += time.perf_counter() - start
        return seconds

    warm_up = max(apps * (REFERENCE + 5), WARM_UP_EVENTS)
    stream = lines(warm_up + probe.total, apps=apps, step_ms=STEP_MS)
    while batch := list(islice(stream, min(SLICE, warm_up - offset))):
        process(batch)
    gc.collect()
    growth_mb = resident_mb() - before
    probe.events = probe.total
    seconds = 0.0
    while raws := list(islice(stream, SLICE)):
        seconds += process(raws)
    probe.report(seconds, kb_each=growth_mb * 1024 / apps)


main()
