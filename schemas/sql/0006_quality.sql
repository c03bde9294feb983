CREATE TABLE IF NOT EXISTS ${database}.quality${on_cluster}
(
    hour DateTime64(3, 'UTC') COMMENT 'hour of event time at which the label was learned' CODEC(Delta, ZSTD),
    signal LowCardinality(String) COMMENT 'injection or hallucination',
    tenant LowCardinality(String) COMMENT 'whose traffic; * for all',
    app LowCardinality(String) COMMENT 'the service; * for all',
    basis LowCardinality(String) COMMENT 'all: every label alike; asked: labels asked for, each by 1 / probability',
    source_partition UInt32 COMMENT 'partition whose agent this is; each learns for itself',
    version UInt64 COMMENT 'source offset of the last label included; the highest wins',
    weights String COMMENT 'version of the weights at that time',
    labels UInt64 COMMENT 'labels counted so far',
    positives UInt64 COMMENT 'those of them that said true',
    precision Nullable(Float64) COMMENT 'of the flags; older labels fade',
    recall Nullable(Float64) COMMENT 'of the flags',
    auc Nullable(Float64) COMMENT 'of the scores',
    calibration_error Nullable(Float64) COMMENT 'mean distance of score and share of true labels',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (signal, tenant, app, basis, hour, source_partition)
TTL received_at + INTERVAL ${quality_days} DAY
SETTINGS ${deduplication}
COMMENT 'live quality of the agents by the labels that came, the last value of each hour; read with FINAL';
