"""What a pipeline has counted, as metrics of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from agents.pipeline import Pipeline
from streams.metrics import AGENT_SECONDS, AGGREGATES_LATE, FEEDBACK, JOIN_LATE, JOIN_ORPHANS, JOIN_PENDING, REPEATS


@contextmanager
def timed(agent: str) -> Iterator[None]:
    """Count the time an agent takes; given to the pipeline, which reads no clock itself."""
    begin = perf_counter()
    yield
    AGENT_SECONDS.labels(agent).inc(perf_counter() - begin)


class Meters:
    """Publishes how far a pipeline's counts have grown since they were last looked at.

    The counts are part of the state and come back with a snapshot; what was counted before the process began is not
    counted again by it.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._last = _counts(pipeline)

    def publish(self, pipeline: Pipeline) -> None:
        """Add what was counted since the last call."""
        now = _counts(pipeline)
        learned, ignored = FEEDBACK.labels("learned"), FEEDBACK.labels("ignored")
        metrics = (JOIN_ORPHANS, JOIN_LATE, AGGREGATES_LATE, learned, ignored, REPEATS)
        for metric, before, after in zip(metrics, self._last, now, strict=True):
            metric.inc(after - before)
        self._last = now
        JOIN_PENDING.labels(str(pipeline.partition)).set(pipeline.joiner.pending)


def _counts(pipeline: Pipeline) -> tuple[int, ...]:
    joined = pipeline.joiner.counts
    late, repeated = pipeline.aggregator.late, pipeline.repeats.dropped
    return (joined.orphans, joined.late, late, pipeline.learned, pipeline.ignored, repeated)
