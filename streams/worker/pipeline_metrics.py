"""What a pipeline has counted, as metrics of the process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import product
from time import monotonic, perf_counter
from typing import Any, get_args

from agents.common.tenant_map import TenantLru
from agents.common.watermark import Scope
from agents.learning.output_rows import TrainableAgent
from agents.learning.prequential import ALL_SCOPES
from processing.pipeline import PartitionPipeline
from schemas.learning import Signal
from streams.runtime.metrics import (
    AGENT_SECONDS,
    AGGREGATES_LATE,
    DUPLICATES_DROPPED,
    FEEDBACK,
    INPUT_ISSUES,
    JOIN_LATE,
    JOIN_ORPHANS,
    JOIN_PENDING,
    LABELS,
    QUALITY,
    SCOPES_OVERFLOW,
)

log = logging.getLogger(__name__)
TOLD_EVERY_S = 60.0
PLACES_MAX = 200
"""Tenants and apps whose live quality is a metric of its own; ClickHouse has it of all."""
_MEASURES = ("precision", "recall", "auc", "calibration_error", "labels")


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

    def __init__(self, pipeline: PartitionPipeline) -> None:
        self._last = _counts(pipeline)
        self._labels = _labels(pipeline)
        self._overflow = pipeline.overflow()
        self._told_at = -TOLD_EVERY_S
        self._places = TenantLru[Scope, bool](PLACES_MAX)
        for agent in pipeline.agents:
            if isinstance(agent, TrainableAgent):
                found = agent.learner.quality.metrics(ALL_SCOPES)
                self.quality([q.as_dict() | _everywhere(agent.name) for q in found], pipeline.partition)

    def publish(self, pipeline: PartitionPipeline) -> None:
        """Add what was counted since the last call."""
        now = _counts(pipeline)
        learned, ignored = FEEDBACK.labels("learned"), FEEDBACK.labels("ignored")
        metrics = (JOIN_ORPHANS, JOIN_LATE, AGGREGATES_LATE, learned, ignored, DUPLICATES_DROPPED)
        for metric, before, after in zip(metrics, self._last, now, strict=True):
            metric.inc(after - before)
        self._last = now
        for issue, count in pipeline.input_issues.items():
            INPUT_ISSUES.labels(issue).inc(count)
        pipeline.input_issues.clear()
        for key, count in (labels := _labels(pipeline)).items():
            if count > self._labels[key]:
                LABELS.labels(*key).inc(count - self._labels[key])
        self._labels = labels
        self._publish_overflow(pipeline)
        JOIN_PENDING.labels(str(pipeline.partition)).set(pipeline.joiner.pending)

    def _publish_overflow(self, pipeline: PartitionPipeline) -> None:
        now = pipeline.overflow()
        more = {what: count - self._overflow.get(what, 0) for what, count in now.items()}
        for what, count in more.items():
            SCOPES_OVERFLOW.labels(what).inc(max(0, count))
        if any(count > 0 for count in more.values()) and monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = monotonic()
            counted = ", ".join(f"{what} {count}" for what, count in more.items() if count > 0)
            log.warning("partition %d: more scopes than it has room for (%s)", pipeline.partition, counted)
        self._overflow = now

    def quality(self, rows: Sequence[Mapping[str, Any]], partition: int) -> None:
        """Show rows of live quality, of `PLACES_MAX` tenants and apps, with a fair share for each tenant."""
        for row in rows:
            place = (row["tenant"], row["app"])
            if row["estimator"] != "observed":
                continue
            if place != ALL_SCOPES:
                for _, gone, _ in self._places.put(place[0], place, True):
                    _hide(gone, str(partition))
            for measure in _MEASURES:
                if row[measure] is not None:
                    QUALITY.labels(row["signal"], *place, str(partition), measure).set(row[measure])


def _hide(place: Scope, partition: str) -> None:
    """Remove a place's live quality: a metric keeps each of its labels for ever."""
    for signal, measure in product(get_args(Signal), _MEASURES):
        with suppress(KeyError):
            QUALITY.remove(signal, *place, partition, measure)


def _everywhere(signal: str) -> dict[str, str]:
    return {"signal": signal, "tenant": ALL_SCOPES[0], "app": ALL_SCOPES[1]}


def _labels(pipeline: PartitionPipeline) -> dict[tuple[str, str], int]:
    learners = [agent.learner for agent in pipeline.agents if isinstance(agent, TrainableAgent)]
    return {(le.signal, outcome): count for le in learners for outcome, count in asdict(le.counts).items()}


def _counts(pipeline: PartitionPipeline) -> tuple[int, ...]:
    joined = pipeline.joiner.counts
    late, repeated = pipeline.aggregator.late, pipeline.deduplicator.dropped
    return (joined.unmatched, joined.late, late, pipeline.labels_learned, pipeline.labels_ignored, repeated)
