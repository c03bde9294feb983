CREATE TABLE IF NOT EXISTS ${database}.feedback${on_cluster}
(
    feedback_id String COMMENT 'the service''s id of the label',
    call_id String COMMENT 'the call it is about',
    time DateTime64(3, 'UTC') COMMENT 'when the label was given',
    tenant LowCardinality(String) COMMENT 'whose traffic it is',
    app LowCardinality(String) COMMENT 'the service that made the call',
    conversation_id String COMMENT 'empty where none was given',
    signal LowCardinality(String) COMMENT 'injection or hallucination',
    label Bool COMMENT 'true: it was one',
    source LowCardinality(String) COMMENT 'thumbs, annotator, judge or user',
    user_id String COMMENT 'who gave it; empty where unknown',
    comment String COMMENT 'free text',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, app, time, feedback_id)
TTL received_at + INTERVAL ${feedback_days} DAY
SETTINGS ${deduplication}
COMMENT 'labels for calls';
