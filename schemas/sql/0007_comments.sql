ALTER TABLE ${database}.events${on_cluster}
    COMMENT COLUMN event 'the event as judged, JSON, with the texts that the service sent';
ALTER TABLE ${database}.events${on_cluster}
    COMMENT COLUMN hallucination_reason 'why there is no score: no_context, no_response or abstention';
ALTER TABLE ${database}.alerts${on_cluster}
    COMMENT COLUMN details 'JSON; of a change: before, after, score, terms_gained, terms_lost, causes, slices';
ALTER TABLE ${database}.aggregates_1h${on_cluster}
    MODIFY COMMENT 'aggregates_1m by the hour: calls, those failed and refused; sums of tokens (input, output, cached, reasoning); flags as injections, and as hallucinations of the calls judged; latency and ttft in ms as histogram and quantiles within 2 %';
ALTER TABLE ${database}.events_latest${on_cluster}
    MODIFY COMMENT 'events, one row per tenant, app, time and event_id even where a service published it twice'
