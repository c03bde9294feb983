"""Sink process: health endpoints, signal handling, exit."""

from __future__ import annotations

from schemas.settings import Settings
from streams.connectors.clickhouse.connection import connect
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune
from streams.sink.sink import Sink


async def run_sink(settings: Settings) -> None:
    """Run until SIGTERM, SIGINT or a failure; a signal drains the sink, a failure is raised.

    The tables must exist (``streamgauge db migrate``). While a table is missing or ClickHouse is unavailable, the sink
    retries and is not ready.
    """
    tune()
    sink, config = Sink(settings, lambda: connect(settings.clickhouse)), settings.sink
    endpoints = await serve(
        config.health_host, config.health_port, sink.ready.is_set, Readiness(sink.lag), settings="sink.health_"
    )
    try:
        await until_signalled(sink.run, sink.stop)
    finally:
        await endpoints.cleanup()
