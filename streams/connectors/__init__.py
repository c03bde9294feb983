"""Formats and stores of others: OpenTelemetry in, ClickHouse out."""
