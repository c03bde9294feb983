"""The plumbing: Kafka, ClickHouse, files, the command."""
