"""OTLP export requests to events, without Kafka: ``normalise.py - - SPANS DIALECT ENCODING SHARE_OF_FOREIGN_SPANS``."""

from __future__ import annotations

import sys
import time

from throughput_probe import arguments

from benchmarks.harness.otlp import bodies
from streams.connectors.otlp import normalise_spans
from streams.runtime.process_tuning import tune

WARMING = 2


def main() -> None:
    _, _, meter = arguments()
    dialect, encoding, foreign = sys.argv[4], sys.argv[5], float(sys.argv[6])
    prepared = list(bodies(meter.total, dialect, encoding, foreign=foreign))
    tune()  # as the worker and the gateway do
    for raw in prepared[:WARMING]:
        normalise_spans(raw, encoding)  # type: ignore[arg-type] # one of the two
    told = rejected = 0
    # CPU time: one thread, no I/O, so it is the core's share that a span takes, whoever else wants the core.
    begin = time.process_time()
    for raw in prepared:
        found = normalise_spans(raw, encoding)  # type: ignore[arg-type]
        told += len(found.events) + found.skipped
        rejected += found.rejected
    seconds = time.process_time() - begin
    if (told, rejected) != (meter.total, 0):
        raise SystemExit(f"{told} of {meter.total} spans were told, {rejected} rejected")
    meter.events = meter.total
    meter.report(seconds, kb_each=sum(map(len, prepared)) / 1024 / meter.total)


main()
