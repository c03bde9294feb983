"""ClickHouse: connecting and the schema; `streams.store.server` serves the embedded engine over HTTP."""

from streams.store.connection import connect
from streams.store.migrations import migrate

__all__ = ["connect", "migrate"]
