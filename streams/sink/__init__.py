"""From Kafka into ClickHouse, each row once."""

from streams.sink.sink import Sink

__all__ = ["Sink"]
