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
    hour DateTime64(3, 'UTC') COMMENT 'hour of event time at which the label was learned' CODEC(Delta, ZSTD),
    signal LowCardinality(String) COMMENT 'injection or hallucination',
    tenant LowCardinality(String) COMMENT 'whose traffic; * for all',
    app LowCardinality(String) COMMENT 'the service; * for all',
    estimator LowCardinality(String) COMMENT 'observed: all labels alike; inverse_propensity: requested labels, each counting 1 / probability',
    source_partition UInt32 COMMENT 'partition whose agent this is; each learns for itself',
    version UInt64 COMMENT 'source offset of the last label included; the highest wins',
    weights String COMMENT 'version of the weights at that time',
    labels UInt64 COMMENT 'labels counted so far',
    positives UInt64 COMMENT 'positive labels among them',
    precision Nullable(Float64) COMMENT 'of the flags; older labels fade',
    recall Nullable(Float64) COMMENT 'of the flags',
    auc Nullable(Float64) COMMENT 'of the scores',
    calibration_error Nullable(Float64) COMMENT 'mean distance of score and share of true labels',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (signal, tenant, app, estimator, hour, source_partition)
TTL received_at + INTERVAL ${quality_days} DAY
SETTINGS ${deduplication}
COMMENT 'live quality of the agents by the labels that came, the last value of each hour; read with FINAL';
INSERT INTO ${database}.quality_0010
SELECT
    hour, signal, tenant, app,
    transform(toString(COLUMNS('^(basis|estimator)$$')), ['all', 'asked'], ['observed', 'inverse_propensity']),
    source_partition, version, weights, labels, positives, precision, recall, auc, calibration_error, received_at
FROM ${database}.quality
SETTINGS max_partitions_per_insert_block = 0;
EXCHANGE TABLES ${database}.quality AND ${database}.quality_0010${on_cluster};
DROP TABLE ${database}.quality_0010${on_cluster} SYNC
