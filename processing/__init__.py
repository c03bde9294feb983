"""Pure stream operators: deduplication, join, windows, pricing, alerting, and the pipeline of one partition."""
