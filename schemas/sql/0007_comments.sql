ALTER TABLE ${database}.events${on_cluster}
    COMMENT COLUMN event 'the event as judged, JSON, with the texts that the service sent';
ALTER TABLE ${database}.events${on_cluster}
    COMMENT COLUMN hallucination_reason 'why there is no score: no_context, no_response or abstention';
ALTER TABLE ${database}.alerts${on_cluster}
    COMMENT COLUMN details 'JSON; of a change: before, after, score, terms_gained, terms_lost, causes, slices';
