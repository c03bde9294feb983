CREATE TABLE IF NOT EXISTS ${database}.events${on_cluster}
(
    event_id String COMMENT 'the service''s id of the event',
    call_id String COMMENT 'joins the halves of a call and its feedback',
    time DateTime64(3, 'UTC') COMMENT 'when the call began' CODEC(Delta, ZSTD),
    tenant LowCardinality(String) COMMENT 'whose traffic it is',
    app LowCardinality(String) COMMENT 'the service that made the call',
    environment LowCardinality(String) COMMENT 'production, staging, ...',
    conversation_id String COMMENT 'empty where none was given',
    user_id String COMMENT 'empty where none was given',
    prompt_name LowCardinality(String) COMMENT 'the prompt template',
    prompt_version LowCardinality(String) COMMENT 'its version',
    provider LowCardinality(String) COMMENT 'openai, anthropic, ...',
    request_model LowCardinality(String) COMMENT 'the model asked for',
    response_model LowCardinality(String) COMMENT 'the model that answered',
    input_tokens UInt32 COMMENT 'cached ones included; 0 where unknown',
    output_tokens UInt32 COMMENT 'reasoning ones included; 0 where unknown',
    cached_tokens UInt32 COMMENT 'part of input_tokens',
    reasoning_tokens UInt32 COMMENT 'part of output_tokens',
    cost_usd Nullable(Float64) COMMENT 'as the service or the usage agent gave it',
    latency_ms Nullable(Float64) COMMENT 'whole call',
    ttft_ms Nullable(Float64) COMMENT 'time to first token',
    error_type LowCardinality(String) COMMENT 'empty: the call did not fail',
    finish_reason LowCardinality(String) COMMENT 'of the first choice',
    injection_score Nullable(Float64) COMMENT 'calibrated, 0 to 1; null: not scored',
    injection_flag Bool COMMENT 'the score crossed the agent''s threshold',
    hallucination_score Nullable(Float64) COMMENT 'calibrated, 0 to 1; null: no context to judge by',
    hallucination_flag Bool COMMENT 'the score crossed the agent''s threshold',
    hallucination_reason String COMMENT 'what in the response is not grounded',
    drift_distance Nullable(Float64) COMMENT 'distance of the event from its segment''s reference',
    event String COMMENT 'the event as judged, redacted, JSON' CODEC(ZSTD(3)),
    signals String COMMENT 'all that the agents said, by agent, JSON' CODEC(ZSTD(3)),
    payload_hash UInt64 DEFAULT xxHash64(event) COMMENT 'xxHash64 of the column event',
    source_partition UInt32 COMMENT 'partition of the record that completed the call',
    source_offset UInt64 COMMENT 'offset of that record',
    source_seq UInt32 COMMENT 'nth call that record released',
    received_at DateTime64(3, 'UTC') COMMENT 'broker''s time of the record; retention counts from it' CODEC(Delta, ZSTD),
    INDEX by_event_id event_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_call_id call_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_conversation conversation_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_user user_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ${replicated}ReplacingMergeTree(source_offset)
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, app, time, event_id)
TTL received_at + INTERVAL ${events_days} DAY
SETTINGS ${deduplication}
COMMENT 'one row per scored LLM call';

CREATE VIEW IF NOT EXISTS ${database}.events_latest${on_cluster}
AS SELECT * FROM ${database}.events FINAL
COMMENT 'events, one row per event_id even where a service published it twice';
