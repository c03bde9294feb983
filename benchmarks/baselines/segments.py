"""The pipeline of one partition, without Kafka, over a stated number of apps: what an app costs in time and memory.

Every app is past its drift reference when the clock starts, so each of its charts is at work.
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
REMEMBERED = 60_000
"""By then what is remembered of single events (repeats, rows that labels may come for) is full, however many apps."""
STEP_MS = 4
"""One partition's quarter of 1,000 events/s."""

FLUSH = 2_000 // STEP_MS
"""Events between two publications of the open windows."""


def main() -> None:
    _, _, meter = arguments()
    apps = int(sys.argv[4])
    settings = Settings(drift={"reference_events": REFERENCE})
    warm(settings)
    pipeline = build_pipeline(0, settings)
    offset = 0
    before = resident_mb()

    def judge(raws: list[bytes]) -> float:
        nonlocal offset
        spent = 0.0
        for k in range(0, len(raws), CHUNK):
            begin = time.perf_counter()
            pipeline.process([Record(offset + i, decode_event(r), r) for i, r in enumerate(raws[k : k + CHUNK])])
            offset += len(raws[k : k + CHUNK])
            if offset % FLUSH < CHUNK:
                for row in pipeline.open_aggregates():
                    orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS)
            spent += time.perf_counter() - begin
        return spent

    first = max(apps * (REFERENCE + 5), REMEMBERED)
    stream = lines(first + meter.total, apps=apps, step_ms=STEP_MS)
    while warming := list(islice(stream, min(SLICE, first - offset))):
        judge(warming)
    gc.collect()
    grown = resident_mb() - before
    meter.events = meter.total
    seconds = 0.0
    while raws := list(islice(stream, SLICE)):
        seconds += judge(raws)
    meter.report(seconds, kb_each=grown * 1024 / apps)


main()
