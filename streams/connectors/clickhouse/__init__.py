"""The ClickHouse connector: connections and migrations; `http_interface` serves the embedded engine over HTTP."""

from streams.connectors.clickhouse.connection import connect
from streams.connectors.clickhouse.migrations import migrate

__all__ = ["connect", "migrate"]
