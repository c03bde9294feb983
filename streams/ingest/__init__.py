"""The ingest service: events, feedback and OTLP over HTTP, acknowledged once Kafka has acknowledged them."""
