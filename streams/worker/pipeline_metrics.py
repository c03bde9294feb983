"""Prometheus metrics of a pipeline's counters."""

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
WARNING_INTERVAL_S = 60.0
MAX_SCOPES = 200
"""Maximum number of scopes with a live quality metric; ClickHouse stores the quality of all scopes."""
_MEASURES = ("precision", "recall", "auc", "calibration_error", "labels")


@contextmanager
def timed(agent: str) -> Iterator[None]:
    """Count the time spent in an agent; injected into the pipeline, which reads no clock."""
    start = perf_counter()
    yield
    AGENT_SECONDS.labels(agent).inc(perf_counter() - start)


class PipelineMetrics:
    """Publisher of a pipeline's counters: adds the increase since the previous call to the metrics.

    The counters are part of the state and are restored with it. The counts of an earlier process are not added again.
    """

    def __init__(self, pipeline: PartitionPipeline) -> None:
        self._counts = _counts(pipeline)
        self._label_counts = _label_counts(pipeline)
        self._overflow = pipeline.overflow()
        self._warned_at = -WARNING_INTERVAL_S
        self._scopes = TenantLru[Scope, bool](MAX_SCOPES)
        for agent in pipeline.agents:
            if isinstance(agent, TrainableAgent):
                rows = agent.learner.quality.metrics(ALL_SCOPES)
                self.publish_quality([row.as_dict() | _all_scopes(agent.name) for row in rows], pipeline.partition)

    def publish(self, pipeline: PartitionPipeline) -> None:
        """Add the increase of all counters since the previous call."""
        now = _counts(pipeline)
        learned, ignored = FEEDBACK.labels("learned"), FEEDBACK.labels("ignored")
        metrics = (JOIN_ORPHANS, JOIN_LATE, AGGREGATES_LATE, learned, ignored, DUPLICATES_DROPPED)
        for metric, before, after in zip(metrics, self._counts, now, strict=True):
            metric.inc(after - before)
        self._counts = now
        for issue, count in pipeline.input_issues.items():
            INPUT_ISSUES.labels(issue).inc(count)
        pipeline.input_issues.clear()
        for key, count in (label_counts := _label_counts(pipeline)).items():
            if count > self._label_counts[key]:
                LABELS.labels(*key).inc(count - self._label_counts[key])
        self._label_counts = label_counts
        self._publish_overflow(pipeline)
        JOIN_PENDING.labels(str(pipeline.partition)).set(pipeline.joiner.pending)

    def _publish_overflow(self, pipeline: PartitionPipeline) -> None:
        now = pipeline.overflow()
        increase = {part: count - self._overflow.get(part, 0) for part, count in now.items()}
        for part, count in increase.items():
            SCOPES_OVERFLOW.labels(part).inc(max(0, count))
        if any(count > 0 for count in increase.values()) and monotonic() - self._warned_at >= WARNING_INTERVAL_S:
            self._warned_at = monotonic()
            evicted = ", ".join(f"{part} {count}" for part, count in increase.items() if count > 0)
            log.warning("partition %d: too many scopes; entries evicted: %s", pipeline.partition, evicted)
        self._overflow = now

    def publish_quality(self, rows: Sequence[Mapping[str, Any]], partition: int) -> None:
        """Set live quality metrics for at most `MAX_SCOPES` scopes, shared fairly between tenants."""
        for row in rows:
            scope = (row["tenant"], row["app"])
            if row["estimator"] != "observed":
                continue
            if scope != ALL_SCOPES:
                for _, evicted, _ in self._scopes.put(scope[0], scope, True):
                    _remove_quality(evicted, str(partition))
            for measure in _MEASURES:
                if row[measure] is not None:
                    QUALITY.labels(row["signal"], *scope, str(partition), measure).set(row[measure])


def _remove_quality(scope: Scope, partition: str) -> None:
    """Remove the live quality metrics of a scope; Prometheus clients keep label sets forever."""
    for signal, measure in product(get_args(Signal), _MEASURES):
        with suppress(KeyError):
            QUALITY.remove(signal, *scope, partition, measure)


def _all_scopes(signal: str) -> dict[str, str]:
    return {"signal": signal, "tenant": ALL_SCOPES[0], "app": ALL_SCOPES[1]}


def _label_counts(pipeline: PartitionPipeline) -> dict[tuple[str, str], int]:
    learners = [agent.learner for agent in pipeline.agents if isinstance(agent, TrainableAgent)]
    return {(le.signal, outcome): count for le in learners for outcome, count in asdict(le.counts).items()}


def _counts(pipeline: PartitionPipeline) -> tuple[int, ...]:
    joins = pipeline.joiner.counts
    late, duplicates = pipeline.aggregator.late, pipeline.deduplicator.dropped
    return (joins.unmatched, joins.late, late, pipeline.labels_learned, pipeline.labels_ignored, duplicates)
