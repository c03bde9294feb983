"""ClickHouse: connecting, the schema, and the embedded engine served over HTTP."""

from streams.store.connection import connect
from streams.store.migrations import migrate
from streams.store.server import StoreServer

__all__ = ["StoreServer", "connect", "migrate"]
