"""The sink as a process: health pages, signals, exit."""

from __future__ import annotations

from schemas.settings import Settings
from streams.connectors.clickhouse.connection import connect
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune
from streams.sink.sink import Sink


async def run_sink(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (drains) or a failure (raises it).

    The tables must exist (``streamgauge db migrate``). While they do not, or ClickHouse is away, the sink waits and
    tries again, and is not ready.
    """
    tune()
    sink, own = Sink(settings, lambda: connect(settings.clickhouse)), settings.sink
    pages = await serve(
        own.health_host, own.health_port, sink.ready.is_set, Readiness(sink.lag), settings="sink.health_"
    )
    try:
        await until_signalled(sink.run, sink.stop)
    finally:
        await pages.cleanup()
