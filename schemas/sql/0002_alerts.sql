CREATE TABLE IF NOT EXISTS ${database}.alerts${on_cluster}
(
    alert_id String COMMENT 'the same from firing to resolved',
    fingerprint String COMMENT 'hash of rule, segment and source partition',
    state LowCardinality(String) COMMENT 'firing or resolved',
    rule LowCardinality(String) COMMENT 'name of the rule',
    severity LowCardinality(String) COMMENT 'info, warning or critical',
    signal LowCardinality(String) COMMENT 'what was measured',
    segment Map(LowCardinality(String), String) COMMENT 'tenant, app, ... it fired for',
    tenant LowCardinality(String) COMMENT 'segment[tenant]',
    app LowCardinality(String) COMMENT 'segment[app]',
    summary String COMMENT 'one sentence for the on-call engineer',
    value Float64 COMMENT 'what was measured, in the signal''s unit',
    threshold Float64 COMMENT 'the rule''s limit',
    started_at DateTime64(3, 'UTC') COMMENT 'event time at which it fired',
    changed_at DateTime64(3, 'UTC') COMMENT 'event time of this state',
    since Nullable(DateTime64(3, 'UTC')) COMMENT 'estimated begin of the change',
    evidence Array(String) COMMENT 'event ids',
    details String COMMENT 'JSON: before, after, terms, slices' CODEC(ZSTD(3)),
    source_partition UInt32 COMMENT 'partition of the record that caused this state',
    source_offset UInt64 COMMENT 'its offset; later states have higher ones',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree(source_offset)
PARTITION BY toYYYYMM(changed_at)
ORDER BY (tenant, app, changed_at, alert_id, state)
TTL received_at + INTERVAL ${alerts_days} DAY
SETTINGS ${deduplication}
COMMENT 'every change of state of every alert';

CREATE VIEW IF NOT EXISTS ${database}.alerts_current${on_cluster}
AS SELECT * FROM ${database}.alerts
ORDER BY fingerprint, source_offset DESC, changed_at DESC, state DESC
LIMIT 1 BY fingerprint
COMMENT 'the latest state of each alert; firing ones: WHERE state = ''firing''';
