"""Every metric of the monitor, with what it says. Names are made nowhere else.

prometheus_client adds ``_total`` to counters; the names here carry it so that they can be searched as dashboards
write them.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BYTES = tuple(float(4**n) for n in range(5, 15))

# Every service
BATCHES_REFUSED = Counter(
    "record_batches_refused_total",
    "Record batches of Kafka that were not read: they unpack to too much, hold too many records, or are broken",
    ["codec"],
)
OUTPUTS_TOO_LARGE = Counter(
    "outputs_too_large_total", "Rows larger than their topic takes: shortened, or dead-lettered instead", ["topic"]
)
DEAD_LETTERS_REDUCED = Counter(
    "dead_letters_reduced_total",
    "Dead letters that the broker refused for their size; form is cut or stub (written smaller), or lost",
    ["form"],
)

# The worker
WORKER_RECORDS = Counter("worker_records_total", "Records taken from source topics", ["topic"])
WORKER_EVENTS = Counter("worker_events_total", "Whole calls scored")
WORKER_DEAD_LETTERS = Counter("worker_dead_letters_total", "Records that could not be judged", ["reason"])
WORKER_CHUNK_SECONDS = Histogram("worker_chunk_seconds", "Time to score one chunk of a partition", buckets=_SECONDS)
WORKER_SNAPSHOT_SECONDS = Histogram("worker_snapshot_seconds", "Time to write one partition's state", buckets=_SECONDS)
WORKER_SNAPSHOT_BYTES = Histogram("worker_snapshot_bytes", "Compressed size of one agent's state", buckets=_BYTES)
WORKER_COLD_STARTS = Counter("worker_cold_starts_total", "States that did not fit and were begun anew", ["agent"])
WORKER_STATE_REJECTED = Counter(
    "worker_state_rejected_total",
    "Snapshots not used: damaged (format), too large (size), not signed by an accepted key (signature), of another "
    "partition, beyond the end of the log (offset); parts of state that do not fit (parts) or failed in use (failed)",
    ["reason"],
)
WORKER_REPLAYED_DROPPED = Counter("worker_replayed_dropped_total", "Records dropped: the state includes them already")
INPUT_ISSUES = Counter(
    "input_issues_total", "Events with something repaired, shortened or out of range (schemas/event.py)", ["issue"]
)
SCOPES_OVERFLOW = Counter(
    "scopes_overflow_total",
    "Entries that made room for others, by part: baselines of an app, clusters, windows of rules, alerts resolved "
    "early; of aggregates, events counted under (other)",
    ["what"],
)
JOIN_ORPHANS = Counter("join_orphans_total", "Halves whose other half did not come in time")
JOIN_LATE = Counter("join_late_total", "Halves that came after their other half was given up")
JOIN_PENDING = Gauge("join_pending", "Halves waiting for their other half", ["partition"])
REPEATS = Counter("repeats_total", "Events that came again and were not judged again")
AGGREGATES_LATE = Counter("aggregates_late_total", "Events too late for their one-minute window")
ALERTS = Counter("alerts_total", "Changes of state of alerts", ["rule", "state"])
FEEDBACK = Counter(
    "feedback_total", "Labels; learned, or ignored (event unknown here, or labelled before)", ["outcome"]
)
LABELS = Counter("labels_total", "Labels and commands to models, by what became of them", ["signal", "outcome"])
QUALITY = Gauge(
    "quality",
    "Live quality by labels; measure is precision, recall, auc, calibration_error or labels; tenant and app * for all",
    ["signal", "tenant", "app", "partition", "measure"],
)
AGENT_SECONDS = Counter("agent_seconds_total", "Time spent in each agent", ["agent"])

# The second version, in shadow
SHADOW_RUNNING = Gauge(
    "shadow_running", "1 while the second version of a partition runs, 0 once it failed", ["partition"]
)
SHADOW_ERRORS = Counter("shadow_errors_total", "Failures of the second version; each ends it for a partition", ["what"])
SHADOW_EVENTS = Counter("shadow_events_total", "Whole calls that the second version judged")
SHADOW_ALERTS = Counter(
    "shadow_alerts_total",
    "Changes of state of alerts; verdict: same, changed (in severity, evidence or begin), appeared (second only), "
    "vanished (first only)",
    ["rule", "state", "verdict"],
)
SHADOW_FLAGS = Counter(
    "shadow_flags_total",
    "Events flagged by both versions (same), by the second or the first only",
    ["agent", "verdict"],
)
SHADOW_SECONDS = Counter("shadow_seconds_total", "Time that the second version took of the worker")
SHADOW_DROPPED = Counter("shadow_dropped_total", "Findings that found no room or no broker")

# The tiers
TIERS_CHOSEN = Counter(
    "tiers_chosen_total", "Questions put to a tier; why is suspicious, requested or sampled", ["tier", "why"]
)
TIERS_OVER_BUDGET = Counter("tiers_over_budget_total", "Questions not put: the hour's budget was spent", ["tier"])
TIERS_OUTCOMES = Counter(
    "tiers_outcomes_total",
    "What came of a question: yes, no, unsure, unread (nothing to read), unparsed, addressed (the text spoke to the "
    "judge), refused (an HTTP error), away (no answer after all tries), failed",
    ["tier", "outcome"],
)
TIERS_TRIES = Counter("tiers_tries_total", "Requests to the judge", ["status"])
TIERS_SECONDS = Histogram("tiers_seconds", "From a question to what came of it", ["tier"], buckets=_SECONDS)
TIERS_LAG = Gauge("tiers_lag", "Scored events that a tier has not looked at yet", ["tier", "partition"])

# The sink
SINK_ROWS = Counter("sink_rows_total", "Rows inserted into ClickHouse", ["table"])
SINK_REPEATS_DROPPED = Counter("sink_repeats_dropped_total", "Scored records dropped: the worker had repeated them")
SINK_ERRORS = Counter(
    "sink_errors_total", "Inserts that failed; kind is retry (tried again) or bad_row (set aside)", ["kind"]
)
SINK_LAG = Gauge("sink_lag", "Records between the sink and the end of the partition", ["topic", "partition"])
SINK_PAUSED = Gauge("sink_paused", "Partitions held back while ClickHouse does not take their rows")

# Every HTTP port
HTTP_ERRORS = Counter(
    "http_errors_total", "Requests that were not HTTP (4xx) or that our code failed at (5xx), on any port", ["status"]
)

# The ways in
OTLP_RECORDS = Counter(
    "otlp_records_total",
    "Spans and log records; outcome is event, feedback, skipped (not about a model) or rejected (see the reason)",
    ["signal", "outcome"],
)
OTLP_UNMAPPED = Counter("otlp_unmapped_total", "Attributes that no field of an event took", ["attribute"])
INGEST_REQUESTS = Counter("ingest_requests_total", "Requests answered", ["path", "status"])
INGEST_RECORDS = Counter("ingest_records_total", "Records taken in, and records dead-lettered", ["path", "outcome"])
INGEST_BYTES = Counter("ingest_bytes_total", "Bytes of bodies, unpacked", ["path"])
INGEST_REFUSALS = Counter("ingest_refusals_total", "Bodies refused whole, by what they came up against", ["reason"])
INGEST_SECONDS = Histogram(
    "ingest_seconds", "From a request's headers to its answer, Kafka's acknowledgement in it", buckets=_SECONDS
)
INGEST_IN_FLIGHT = Gauge("ingest_in_flight_bytes", "Bytes received and not yet written to Kafka")
INGEST_CONNECTIONS = Gauge("ingest_connections", "Open connections")
INGEST_CONNECTIONS_CLOSED = Counter(
    "ingest_connections_closed_total",
    "Connections closed: silent (no request in ingest.read_timeout_s), crowded (over ingest.connections)",
    ["reason"],
)
INGEST_KEYS = Gauge("ingest_keys", "API keys known")
INGEST_KEY_FILE_ERRORS = Counter("ingest_key_file_errors_total", "Key files that could not be read; the old keys hold")
