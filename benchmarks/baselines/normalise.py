"""Normalise OTLP export requests without Kafka: ``normalise.py - - SPANS DIALECT ENCODING SHARE_OF_FOREIGN_SPANS``."""

from __future__ import annotations

import sys
import time

from throughput_probe import arguments

from benchmarks.harness.otlp import bodies
from streams.connectors.otlp import normalise_spans
from streams.runtime.process_tuning import tune

WARM_UP_REQUESTS = 2


def main() -> None:
    _, _, probe = arguments()
    dialect, encoding, foreign = sys.argv[4], sys.argv[5], float(sys.argv[6])
    prepared = list(bodies(probe.total, dialect, encoding, foreign=foreign))
    tune()  # as in the worker and the ingest service
    for raw in prepared[:WARM_UP_REQUESTS]:
        normalise_spans(raw, encoding)  # type: ignore[arg-type] # the caller passes a valid encoding
    normalised = rejected = 0
    # CPU time: one thread without I/O, so other processes on the core do not affect the figure.
    start = time.process_time()
    for raw in prepared:
        result = normalise_spans(raw, encoding)  # type: ignore[arg-type]
        normalised += len(result.events) + result.skipped
        rejected += result.rejected
    seconds = time.process_time() - start
    if (normalised, rejected) != (probe.total, 0):
        raise SystemExit(f"{normalised} of {probe.total} spans normalised, {rejected} rejected")
    probe.events = probe.total
    probe.report(seconds, kb_each=sum(map(len, prepared)) / 1024 / probe.total)


main()
