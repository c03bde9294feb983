ALTER TABLE ${database}.events${on_cluster}
    ADD COLUMN IF NOT EXISTS input_issues Array(LowCardinality(String)) COMMENT 'codes of what was repaired, shortened or out of range in the event' AFTER signals;
CREATE OR REPLACE VIEW ${database}.events_latest${on_cluster}
AS SELECT * FROM ${database}.events FINAL
COMMENT 'events, one row per tenant, app, time and event_id even where a service published it twice'
