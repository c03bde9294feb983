ALTER TABLE ${database}.dead_letters${on_cluster}
    ADD COLUMN IF NOT EXISTS raw_bytes UInt64 COMMENT 'how many bytes the record has; 0 where an earlier version wrote the letter' AFTER raw;
ALTER TABLE ${database}.dead_letters${on_cluster}
    ADD COLUMN IF NOT EXISTS raw_sha256 String COMMENT 'SHA-256 of all its bytes, hexadecimal; empty where raw_bytes is not set' AFTER raw_bytes;
ALTER TABLE ${database}.dead_letters${on_cluster}
    COMMENT COLUMN raw 'its bytes in base64, at most the first 512 KiB of them';
ALTER TABLE ${database}.dead_letters${on_cluster}
    COMMENT COLUMN key 'its key, at most 1,024 characters';
ALTER TABLE ${database}.dead_letters${on_cluster}
    COMMENT COLUMN reason 'decode, contract, batch (not unpacked), size (of an output) or sink';
ALTER TABLE ${database}.events${on_cluster} MODIFY SETTING ${deduplication};
ALTER TABLE ${database}.alerts${on_cluster} MODIFY SETTING ${deduplication};
ALTER TABLE ${database}.aggregates_1m${on_cluster} MODIFY SETTING ${deduplication};
ALTER TABLE ${database}.feedback${on_cluster} MODIFY SETTING ${deduplication};
ALTER TABLE ${database}.quality${on_cluster} MODIFY SETTING ${deduplication};
ALTER TABLE ${database}.dead_letters${on_cluster} MODIFY SETTING ${deduplication}
