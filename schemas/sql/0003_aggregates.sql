CREATE TABLE IF NOT EXISTS ${database}.aggregates_1m${on_cluster}
(
    window_start DateTime64(3, 'UTC') COMMENT 'begin of the minute, event time' CODEC(Delta, ZSTD),
    tenant LowCardinality(String) COMMENT 'segment: tenant',
    app LowCardinality(String) COMMENT 'segment: app',
    model LowCardinality(String) COMMENT 'segment: model',
    prompt_version LowCardinality(String) COMMENT 'segment: prompt version',
    source_partition UInt32 COMMENT 'partition these events came from; parts of several add up',
    version UInt64 COMMENT 'source offset of the last event included; the highest wins',
    events UInt64 COMMENT 'calls',
    errors UInt64 COMMENT 'calls that failed',
    refusals UInt64 COMMENT 'answers that refused',
    input_tokens UInt64 COMMENT 'sum',
    output_tokens UInt64 COMMENT 'sum',
    cached_tokens UInt64 COMMENT 'sum; part of input_tokens',
    reasoning_tokens UInt64 COMMENT 'sum; part of output_tokens',
    cost_nanousd UInt64 COMMENT 'sum, in 1e-9 US dollars',
    injection_flags UInt64 COMMENT 'calls flagged as injection',
    hallucination_flags UInt64 COMMENT 'calls flagged as ungrounded',
    grounded UInt64 COMMENT 'calls that had a context and were scored for grounding',
    latency_ms Map(UInt16, UInt64) COMMENT 'log bucket k = (g^(k-1), g^k], g = 1.02/0.98, to count',
    ttft_ms Map(UInt16, UInt64) COMMENT 'as latency_ms',
    grounding Map(UInt16, UInt64) COMMENT 'twentieth of the unit interval (0..19) to count',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (tenant, app, model, prompt_version, window_start, source_partition)
TTL received_at + INTERVAL ${aggregates_days} DAY
SETTINGS ${deduplication}
COMMENT 'absolute values of one minute of one segment from one source partition; read with FINAL';

CREATE VIEW IF NOT EXISTS ${database}.aggregates_1h${on_cluster}
AS WITH
    1.02 / 0.98 AS g,
    (m, q) -> if(length(mapKeys(m)) = 0, NULL, 2 * pow(g, arraySort(mapKeys(m))[
        arrayFirstIndex(c -> c >= q * arraySum(mapValues(m)),
                        arrayCumSum(arraySort((v, k) -> k, mapValues(m), mapKeys(m))))]) / (g + 1)) AS quantile_of
SELECT
    toStartOfHour(window_start) AS hour, tenant, app, model, prompt_version,
    sum(events) AS calls, sum(errors) AS failed, sum(refusals) AS refused,
    sum(input_tokens) AS input, sum(output_tokens) AS output, sum(cached_tokens) AS cached,
    sum(reasoning_tokens) AS reasoning, sum(cost_nanousd) / 1e9 AS cost_usd,
    sum(injection_flags) AS injections, sum(hallucination_flags) AS hallucinations, sum(grounded) AS judged,
    sumMap(latency_ms) AS latency, sumMap(ttft_ms) AS ttft, sumMap(grounding) AS grounding_histogram,
    quantile_of(latency, 0.50) AS latency_p50, quantile_of(latency, 0.95) AS latency_p95,
    quantile_of(latency, 0.99) AS latency_p99,
    quantile_of(ttft, 0.50) AS ttft_p50, quantile_of(ttft, 0.95) AS ttft_p95, quantile_of(ttft, 0.99) AS ttft_p99
FROM ${database}.aggregates_1m FINAL
GROUP BY hour, tenant, app, model, prompt_version
COMMENT 'the same by the hour, with quantiles that are within 2 %';
