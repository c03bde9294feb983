"""Connectors to external formats and stores: OTLP input and ClickHouse output."""
