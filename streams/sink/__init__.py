"""Exactly-once sink from Kafka to ClickHouse."""

from streams.sink.sink import Sink

__all__ = ["Sink"]
