CREATE TABLE IF NOT EXISTS ${database}.dead_letters${on_cluster}
(
    dead_letter_id String COMMENT 'hash of topic, partition and offset',
    reason LowCardinality(String) COMMENT 'decode, contract or sink',
    error String COMMENT 'names the field and the fix',
    source_topic LowCardinality(String) COMMENT 'where the record came from',
    source_partition UInt32 COMMENT 'its partition',
    source_offset UInt64 COMMENT 'its offset',
    key Nullable(String) COMMENT 'its key',
    raw String COMMENT 'its bytes in base64' CODEC(ZSTD(3)),
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD)
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (source_topic, source_partition, source_offset, dead_letter_id)
TTL received_at + INTERVAL ${dead_letters_days} DAY
SETTINGS ${deduplication}
COMMENT 'records that could not be judged or stored';
