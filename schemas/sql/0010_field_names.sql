ALTER TABLE ${database}.alerts${on_cluster}
    RENAME COLUMN IF EXISTS since TO change_started_at;
ALTER TABLE ${database}.alerts${on_cluster}
    COMMENT COLUMN change_started_at 'estimated start of the change';
CREATE OR REPLACE VIEW ${database}.alerts_current${on_cluster}
AS SELECT * FROM ${database}.alerts
ORDER BY fingerprint, source_offset DESC, changed_at DESC, state DESC
LIMIT 1 BY fingerprint
COMMENT 'the latest state of each alert; firing ones: WHERE state = ''firing''';
CREATE OR REPLACE VIEW ${database}.aggregates_1h${on_cluster}
AS WITH
    1.02 / 0.98 AS g,
    (m, q) -> if(length(mapKeys(m)) = 0, NULL, 2 * pow(g, arraySort(mapKeys(m))[
        arrayFirstIndex(c -> c >= q * arraySum(mapValues(m)),
                        arrayCumSum(arraySort((v, k) -> k, mapValues(m), mapKeys(m))))]) / (g + 1)) AS quantile_of
SELECT
    *,
    quantile_of(latency_ms, 0.50) AS latency_p50, quantile_of(latency_ms, 0.95) AS latency_p95,
    quantile_of(latency_ms, 0.99) AS latency_p99,
    quantile_of(ttft_ms, 0.50) AS ttft_p50, quantile_of(ttft_ms, 0.95) AS ttft_p95,
    quantile_of(ttft_ms, 0.99) AS ttft_p99
FROM
(
    SELECT
        toStartOfHour(m.window_start) AS hour, m.tenant AS tenant, m.app AS app, m.model AS model,
        m.prompt_version AS prompt_version,
        sum(m.events) AS events, sum(m.errors) AS errors, sum(m.refusals) AS refusals,
        sum(m.input_tokens) AS input_tokens, sum(m.output_tokens) AS output_tokens,
        sum(m.cached_tokens) AS cached_tokens, sum(m.reasoning_tokens) AS reasoning_tokens,
        sum(m.cost_nanousd) / 1e9 AS cost_usd,
        sum(m.injection_flags) AS injection_flags, sum(m.hallucination_flags) AS hallucination_flags,
        sum(m.grounded) AS grounded,
        sumMap(m.latency_ms) AS latency_ms, sumMap(m.ttft_ms) AS ttft_ms, sumMap(m.grounding) AS grounding
    FROM ${database}.aggregates_1m AS m FINAL
    GROUP BY hour, tenant, app, model, prompt_version
)
COMMENT 'aggregates_1m by the hour, columns of the same name added up; cost_usd in US dollars; quantiles of latency_ms and ttft_ms within 2 %';
DROP TABLE IF EXISTS ${database}.quality_0010${on_cluster} SYNC;
CREATE TABLE ${database}.quality_0010${on_cluster}
(
    hour DateTime64(3, 'UTC') COMMENT 'hour of event time in which the label was learned' CODEC(Delta, ZSTD),
    signal LowCardinality(String) COMMENT 'injection or hallucination',
    tenant LowCardinality(String) COMMENT 'tenant; * for all',
    app LowCardinality(String) COMMENT 'app; * for all',
    estimator LowCardinality(String) COMMENT 'observed: all labels, weighted equally; inverse_propensity: requested labels, weighted by 1 / probability',
    source_partition UInt32 COMMENT 'partition of the agent; each partition learns separately',
    version UInt64 COMMENT 'source offset of the last label included; the highest wins',
    weights String COMMENT 'version of the weights when the label was learned',
    labels UInt64 COMMENT 'number of labels so far',
    positives UInt64 COMMENT 'number of positive labels so far',
    precision Nullable(Float64) COMMENT 'precision of the flags; older labels have lower weights',
    recall Nullable(Float64) COMMENT 'recall of the flags',
    auc Nullable(Float64) COMMENT 'area under the ROC curve of the scores',
    calibration_error Nullable(Float64) COMMENT 'mean distance between score and fraction of positive labels',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention starts at this time' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (signal, tenant, app, estimator, hour, source_partition)
TTL received_at + INTERVAL ${quality_days} DAY
SETTINGS ${deduplication}
COMMENT 'live quality of the agents measured against labels, the last value of each hour; read with FINAL';
INSERT INTO ${database}.quality_0010
SELECT
    hour, signal, tenant, app,
    transform(toString(COLUMNS('^(basis|estimator)$$')), ['all', 'asked'], ['observed', 'inverse_propensity']),
    source_partition, version, weights, labels, positives, precision, recall, auc, calibration_error, received_at
FROM ${database}.quality
SETTINGS max_partitions_per_insert_block = 0;
EXCHANGE TABLES ${database}.quality AND ${database}.quality_0010${on_cluster};
DROP TABLE ${database}.quality_0010${on_cluster} SYNC;
ALTER TABLE ${database}.events${on_cluster}
    COMMENT COLUMN call_id 'joins the halves of a call and its feedback',
    COMMENT COLUMN time 'start of the call',
    COMMENT COLUMN tenant 'tenant that owns the traffic',
    COMMENT COLUMN conversation_id 'empty if not set',
    COMMENT COLUMN user_id 'empty if not set',
    COMMENT COLUMN prompt_name 'name of the prompt template',
    COMMENT COLUMN prompt_version 'version of the prompt template',
    COMMENT COLUMN request_model 'requested model',
    COMMENT COLUMN response_model 'model that responded',
    COMMENT COLUMN input_tokens 'includes cached tokens; 0 if unknown',
    COMMENT COLUMN output_tokens 'includes reasoning tokens; 0 if unknown',
    COMMENT COLUMN cost_usd 'reported by the service or computed from prices',
    COMMENT COLUMN latency_ms 'duration of the whole call',
    COMMENT COLUMN error_type 'empty if the call succeeded',
    COMMENT COLUMN finish_reason 'finish reason of the first choice',
    COMMENT COLUMN hallucination_score 'calibrated, 0 to 1; null: no context to compare with',
    COMMENT COLUMN drift_distance 'distance of the event from the reference of its segment',
    COMMENT COLUMN event 'the event as scored, JSON, with the original texts',
    COMMENT COLUMN signals 'signals of all agents, by agent, JSON',
    COMMENT COLUMN input_issues 'codes for values that were repaired, shortened or out of range',
    COMMENT COLUMN source_seq 'position of the call among the calls that the record completed, from 0',
    COMMENT COLUMN received_at 'broker''s time of the record; retention starts at this time';
ALTER TABLE ${database}.alerts${on_cluster}
    COMMENT COLUMN signal 'name of the measured signal',
    COMMENT COLUMN segment 'tenant, app and other dimensions of the alert',
    COMMENT COLUMN value 'measured value, in the signal''s unit',
    COMMENT COLUMN evidence 'ids of events that caused the alert',
    COMMENT COLUMN source_offset 'offset of that record; later states have higher ones',
    COMMENT COLUMN received_at 'broker''s time of the record; retention starts at this time';
ALTER TABLE ${database}.aggregates_1m${on_cluster}
    COMMENT COLUMN window_start 'start of the minute, event time',
    COMMENT COLUMN source_partition 'partition of the events; rows of several partitions add up',
    COMMENT COLUMN refusals 'responses that are refusals',
    COMMENT COLUMN grounding 'bucket of width 0.05 (0..19) to count',
    COMMENT COLUMN received_at 'broker''s time of the record; retention starts at this time';
ALTER TABLE ${database}.dead_letters${on_cluster}
    COMMENT COLUMN reason 'decode, contract, batch (rejected record batch), size (output too large), signature or sink',
    COMMENT COLUMN source_topic 'topic of the record',
    COMMENT COLUMN source_partition 'partition of the record',
    COMMENT COLUMN source_offset 'offset of the record',
    COMMENT COLUMN key 'key of the record, at most 1,024 characters',
    COMMENT COLUMN raw 'bytes of the record in base64, at most the first 512 KiB',
    COMMENT COLUMN raw_bytes 'size of the record in bytes; 0 if written before version 0.5',
    COMMENT COLUMN raw_sha256 'SHA-256 of the whole record, hexadecimal; empty if raw_bytes is not set',
    COMMENT COLUMN received_at 'broker''s time of the record; retention starts at this time';
ALTER TABLE ${database}.feedback${on_cluster}
    COMMENT COLUMN call_id 'labelled call',
    COMMENT COLUMN time 'time of the label',
    COMMENT COLUMN tenant 'tenant that owns the traffic',
    COMMENT COLUMN conversation_id 'empty if not set',
    COMMENT COLUMN label 'true: positive',
    COMMENT COLUMN user_id 'author of the label; empty if unknown',
    COMMENT COLUMN received_at 'broker''s time of the record; retention starts at this time';
ALTER TABLE ${database}.dead_letters${on_cluster}
    MODIFY COMMENT 'records that could not be scored or stored'
