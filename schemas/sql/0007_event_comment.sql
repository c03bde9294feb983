ALTER TABLE ${database}.events${on_cluster}
    COMMENT COLUMN event 'the event as judged, JSON, with the texts that the service sent'
