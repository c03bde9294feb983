"""All Prometheus metrics of the monitor; no other module creates metrics.

Each name has the prefix `NAMESPACE`. prometheus_client adds ``_total`` to counters; the names here carry it so that
they can be searched as dashboards write them. ``python -m streams.runtime.metrics`` writes the page
``docs/contracts/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import Counter, Gauge, Histogram

NAMESPACE: Final = "streamgauge"
PAGE = Path(__file__).parents[2] / "docs" / "contracts" / "metrics.md"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BYTES = tuple(float(4**n) for n in range(5, 15))


class Description(NamedTuple):
    """Name, type, labels and description of a metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    description: str


METRICS: Final[list[Description]] = []
"""All metrics, in the order of this module."""


def _counter(name: str, description: str, labels: Sequence[str] = ()) -> Counter:
    METRICS.append(Description(f"{NAMESPACE}_{name}", "counter", tuple(labels), description))
    return Counter(name, description, labels, namespace=NAMESPACE)


def _gauge(name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
    METRICS.append(Description(f"{NAMESPACE}_{name}", "gauge", tuple(labels), description))
    return Gauge(name, description, labels, namespace=NAMESPACE)


def _histogram(name: str, description: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
    METRICS.append(Description(f"{NAMESPACE}_{name}", "histogram", tuple(labels), description))
    return Histogram(name, description, labels, namespace=NAMESPACE, buckets=buckets)


# Every service
BATCHES_REFUSED = _counter(
    "record_batches_refused_total",
    "Kafka record batches refused because they decompress to too many bytes, hold too many records, or are broken",
    ["codec"],
)
OUTPUTS_TOO_LARGE = _counter(
    "outputs_too_large_total",
    "Rows that exceed the record size of their topic; shortened, or written as dead letters",
    ["topic"],
)
DEAD_LETTERS_REDUCED = _counter(
    "dead_letters_reduced_total",
    "Dead letters that the broker refused for their size; form is cut or stub (written smaller) or lost",
    ["form"],
)

# The worker
WORKER_RECORDS = _counter("worker_records_total", "Records consumed from source topics", ["topic"])
WORKER_EVENTS = _counter("worker_events_total", "Complete calls scored")
WORKER_DEAD_LETTERS = _counter("worker_dead_letters_total", "Records that could not be scored", ["reason"])
WORKER_CHUNK_SECONDS = _histogram("worker_chunk_seconds", "Seconds to score one chunk of a partition", _SECONDS)
WORKER_SNAPSHOT_SECONDS = _histogram(
    "worker_snapshot_seconds",
    "Seconds that scoring pauses to copy a partition's state; compression and writing run concurrently",
    _SECONDS,
)
WORKER_SNAPSHOT_BYTES = _histogram("worker_snapshot_bytes", "Compressed bytes of one partition's snapshot", _BYTES)
WORKER_COLD_STARTS = _counter(
    "worker_cold_starts_total", "Agents that started cold because their saved state did not fit", ["agent"]
)
WORKER_STATE_REJECTED = _counter(
    "worker_state_rejected_total",
    "Rejected state, by reason: snapshots that are damaged (format), too large (size), without a valid signature "
    "(signature), from another partition (partition) or beyond the end of the log (offset); parts of a state that are "
    "invalid (parts) or failed in use (failed)",
    ["reason"],
)
WORKER_REPLAYED_DROPPED = _counter(
    "worker_replayed_dropped_total", "Records dropped because the restored state includes them"
)
INPUT_ISSUES = _counter(
    "input_issues_total", "Events with a field repaired, shortened or out of range (schemas/event.py)", ["issue"]
)
SCOPES_OVERFLOW = _counter(
    "scopes_overflow_total",
    "Entries evicted to make room, by part: baselines of an app, clusters, windows of rules, alerts resolved early; "
    "of aggregates, events counted under (other)",
    ["what"],
)
JOIN_ORPHANS = _counter("join_orphans_total", "Halves of calls whose other half did not arrive in time")
JOIN_LATE = _counter("join_late_total", "Halves of calls that arrived after their other half had expired")
JOIN_PENDING = _gauge("join_pending", "Halves of calls waiting for their other half", ["partition"])
DUPLICATES_DROPPED = _counter("duplicates_dropped_total", "Events dropped as duplicates (worker.dedup_window)")
AGGREGATES_LATE = _counter("aggregates_late_total", "Events too late for their one-minute window")
ALERTS = _counter("alerts_total", "Alert state changes", ["rule", "state"])
FEEDBACK = _counter(
    "feedback_total", "Labels received: learned, or ignored (unknown event, or labelled before)", ["outcome"]
)
LABELS = _counter("labels_total", "Labels and model commands, by outcome (docs/learning.md)", ["signal", "outcome"])
QUALITY = _gauge(
    "quality",
    "Live quality measured against labels; measure is precision, recall, auc, calibration_error or labels; tenant and "
    "app are * for all scopes",
    ["signal", "tenant", "app", "partition", "measure"],
)
AGENT_SECONDS = _counter("agent_seconds_total", "Seconds of scoring in each agent", ["agent"])

# The shadow
SHADOW_RUNNING = _gauge("shadow_running", "1 while the shadow of a partition runs, 0 after it failed", ["partition"])
SHADOW_ERRORS = _counter(
    "shadow_errors_total", "Failures of the shadow, by step; each stops the shadow of its partition", ["what"]
)
SHADOW_EVENTS = _counter("shadow_events_total", "Complete calls scored by the shadow")
SHADOW_ALERTS = _counter(
    "shadow_alerts_total",
    "Alert state changes; verdict: same, changed (in severity, evidence or start), appeared (shadow only), "
    "vanished (primary only)",
    ["rule", "state", "verdict"],
)
SHADOW_FLAGS = _counter(
    "shadow_flags_total",
    "Events flagged by both versions (same), by the shadow only (appeared) or by the primary only (vanished)",
    ["agent", "verdict"],
)
SHADOW_SECONDS = _counter("shadow_seconds_total", "Seconds of the worker spent in the shadow")
SHADOW_DROPPED = _counter("shadow_dropped_total", "Findings dropped: the queue was full or the broker unavailable")

# The reviewers
REVIEWERS_CHOSEN = _counter(
    "reviewers_chosen_total",
    "Events sent to a reviewer; reason is suspicious, requested or sampled",
    ["reviewer", "reason"],
)
REVIEWERS_OVER_BUDGET = _counter(
    "reviewers_over_budget_total", "Events not sent to a reviewer because the hour's budget was spent", ["reviewer"]
)
REVIEWERS_OUTCOMES = _counter(
    "reviewers_outcomes_total",
    "Reviews by result: yes, no, unsure, unread (no text), unparsed, addressed (the text addressed the judge), "
    "refused (an HTTP error), away (no answer after all retries), failed",
    ["reviewer", "outcome"],
)
REVIEWERS_TRIES = _counter("reviewers_tries_total", "HTTP requests to the judge, by status or error", ["status"])
REVIEWERS_SECONDS = _histogram("reviewers_seconds", "Seconds of one review", _SECONDS, ["reviewer"])
REVIEWERS_LAG = _gauge("reviewers_lag", "Scored events that a reviewer has not read yet", ["reviewer", "partition"])

# The sink
SINK_ROWS = _counter("sink_rows_total", "Rows inserted into ClickHouse", ["table"])
SINK_DUPLICATES_DROPPED = _counter(
    "sink_duplicates_dropped_total", "Scored records dropped because a restarted worker had written them before"
)
SINK_ERRORS = _counter(
    "sink_errors_total",
    "Failed inserts; kind is retry (tried again), bad_row (written as a dead letter) or bad_dead_letter (counted only)",
    ["kind"],
)
SINK_LAG = _gauge(
    "sink_lag", "Records between the sink's position and the end of the partition", ["topic", "partition"]
)
SINK_PAUSED = _gauge("sink_paused", "Partitions paused while ClickHouse does not accept their rows")

# Every HTTP port
HTTP_ERRORS = _counter(
    "http_errors_total", "Requests that were not valid HTTP (4xx) or failed in our code (5xx), on any port", ["status"]
)

# Ingest
OTLP_RECORDS = _counter(
    "otlp_records_total",
    "Spans and log records; outcome is event, feedback, skipped (not about a model) or rejected (unreadable)",
    ["signal", "outcome"],
)
OTLP_UNMAPPED = _counter("otlp_unmapped_total", "GenAI attributes that map to no field of an event", ["attribute"])
INGEST_REQUESTS = _counter("ingest_requests_total", "HTTP requests answered", ["path", "status"])
INGEST_RECORDS = _counter("ingest_records_total", "Records accepted, and records rejected", ["path", "outcome"])
INGEST_BYTES = _counter("ingest_bytes_total", "Bytes of request bodies, unpacked", ["path"])
INGEST_REFUSALS = _counter("ingest_refusals_total", "Refused requests, by the limit that they exceeded", ["reason"])
INGEST_SECONDS = _histogram(
    "ingest_seconds", "Seconds from a request's headers to its response, Kafka's acknowledgement included", _SECONDS
)
INGEST_IN_FLIGHT = _gauge("ingest_in_flight_bytes", "Bytes received and not yet acknowledged by Kafka")
INGEST_CONNECTIONS = _gauge("ingest_connections", "Open connections")
INGEST_CONNECTIONS_CLOSED = _counter(
    "ingest_connections_closed_total",
    "Connections closed: silent (no request in ingest.read_timeout_s), crowded (over ingest.connections)",
    ["reason"],
)
INGEST_KEYS = _gauge("ingest_keys", "API keys loaded")
INGEST_KEY_FILE_ERRORS = _counter(
    "ingest_key_file_errors_total", "Failed reads of ingest.keys_file; previously loaded keys stay valid"
)


def metrics_reference() -> str:
    """Return the reference page of all metrics."""
    rows = [
        "# Metrics",
        "",
        "Every process serves its metrics at `/metrics` of its health port in the Prometheus format. A counter ends in",
        "`_total`, a histogram has `_bucket`, `_sum` and `_count`. Durations are in seconds, sizes in bytes.",
        "",
        "| metric | type | labels | description |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.description} |"
        for m in METRICS
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(metrics_reference())
