"""The whole monitor in this process: broker, store, worker, sink, the pages they serve; all of it gone afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.query import QueryResult

from schemas.errors import StreamgaugeError
from schemas.setting_sections import (
    AggregatesSettings,
    AlertsSettings,
    ClickHouseSettings,
    DriftSettings,
    KafkaSettings,
    SinkSettings,
    WorkerSettings,
)
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.connectors.clickhouse.http_interface import StoreServer
from streams.runtime.health import Readiness, serve
from streams.sink import Sink
from streams.worker.app import Worker
from tools.demo.mock_broker import PARTITIONS, EmbeddedBroker
from tools.demo.tcp_proxy import doorway

T = TypeVar("T")
log = logging.getLogger(__name__)

EVENTS_PER_FALSE_ALARM = 50_000
_STOP_S = 20.0
_TURN_S = 0.05


class Stage:
    """Starts everything on entering and stops it, in the opposite order, on leaving.

    Parameters
    ----------
    folder
        Where the embedded ClickHouse keeps its files.
    ports
        Of Kafka and of ClickHouse's HTTP interface; 0 takes a free one. A port that is taken is replaced by a free one.

    Attributes
    ----------
    settings
        With the broker's own address; nothing of them comes from the environment.
    brokers
        The address to tell others.
    """

    def __init__(self, folder: Path, ports: tuple[int, int] = (0, 0)) -> None:
        self._kafka_port, sql_port = ports
        self._broker = EmbeddedBroker()
        self.settings = demo_settings(self._broker.address, folder)
        self.server = StoreServer(self.settings.clickhouse, port=sql_port)
        self.worker = Worker(self.settings)
        self.sink = Sink(self.settings, lambda: connect(self.settings.clickhouse))
        self.metrics_port = 0
        self.brokers = self._broker.address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="demo-sql")  # one client, one thread
        self._client: Client | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._leaving.aclose()
            raise
        return self

    async def _enter(self) -> None:
        self._leaving.callback(self._broker.close)
        self._leaving.callback(self._thread.shutdown)
        await asyncio.to_thread(self._broker.create_topics, self.settings.kafka)
        self.brokers = await self._leaving.enter_async_context(doorway(self._kafka_port, self.brokers))
        self._client = await self.in_store(lambda: connect(self.settings.clickhouse))
        self._leaving.push_async_callback(self.in_store, self._client.close)
        await self.in_store(self._migrate)
        await self._serve_store()
        readiness, own = Readiness(self.worker.lag), "worker.health_"
        pages = await serve("127.0.0.1", 0, lambda: self.worker.error is None, readiness, settings=own)
        self._leaving.push_async_callback(pages.cleanup)
        self.metrics_port = pages.addresses[0][1]

    async def _serve_store(self) -> None:
        try:
            await self.server.start()
        except OSError:
            await self.server.stop()
            self.server = StoreServer(self.settings.clickhouse, port=0)
            await self.server.start()
        self._leaving.push_async_callback(self.server.stop)

    async def begin(self) -> None:
        """Start worker and sink; return when both have their partitions."""
        self._tasks = {
            "sink": asyncio.create_task(self.sink.run()),
            "worker": asyncio.create_task(self.worker.run()),
        }
        self._leaving.push_async_callback(self._end)
        await self.until(lambda: self.sink.ready.is_set() and len(self.worker.lag() or ()) == PARTITIONS)

    async def _end(self) -> None:
        """Drain the worker first: the sink then stores what it wrote last."""
        # A worker that failed waits for ever on purpose, so it is not asked to drain; but its app, left running, would
        # restart its agents while the event loop closes.
        failed = self.worker.error is not None
        await self._stop("worker", self.worker.app.stop() if failed else self.worker.stop())
        if not self._tasks["sink"].done():
            await self._stop("sink", self.sink.stop())
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @staticmethod
    async def _stop(name: str, stopping: Awaitable[None]) -> None:
        try:
            await asyncio.wait_for(stopping, _STOP_S)
        except Exception as error:  # noqa: BLE001 - the demo is over; what is left must stop too
            log.warning("%s did not stop: %r", name, error)

    async def __aexit__(self, *_: object) -> None:
        await self._leaving.aclose()

    async def until(self, true: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition; raise if worker or sink ended meanwhile."""
        while True:
            self.check()
            answer = true()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(_TURN_S)

    def check(self) -> None:
        """Raise if worker or sink ended."""
        for name, task in self._tasks.items():
            if task.done():
                error = self.worker.error if name == "worker" and task.cancelled() else task.exception()
                raise StreamgaugeError(f"demo: the {name} stopped: {error!r}") from error

    def backlog(self) -> int:
        """Return the records that wait in the fullest partition of what worker and sink read."""
        return max([*(self.worker.lag() or {}).values(), *self.sink.lag().values()], default=0)

    def _migrate(self) -> None:
        migrate(self._sql, self.settings)
        self._sql.command(f"USE {self.settings.clickhouse.database}")

    async def query(self, sql: str) -> QueryResult:
        """Run SQL in the embedded ClickHouse."""
        return await self.in_store(lambda: self._sql.query(sql))

    @property
    def _sql(self) -> Client:
        if self._client is None:
            raise StreamgaugeError("demo: the store is not open; enter the stage first")
        return self._client

    async def in_store(self, work: Callable[[], T]) -> T:
        """Run blocking work in the one thread that the client belongs to."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def demo_settings(brokers: str, folder: Path) -> Settings:
    """Return settings of their own for every part: a stray environment variable must not reach the demo."""
    return Settings(
        # A long session: on two busy cores a pause of the one process is no reason to rebalance.
        kafka=KafkaSettings(brokers=brokers, partitions=PARTITIONS, session_timeout_s=30.0),
        worker=WorkerSettings(),
        sink=SinkSettings(linger_s=0.5),
        clickhouse=ClickHouseSettings(path=folder / "clickhouse"),
        aggregates=AggregatesSettings(flush_interval_s=1.0),
        alerts=AlertsSettings(),
        # The default, 10,000, would bring about one false alarm among the demo's 14,400 calls.
        drift=DriftSettings(events_per_false_alarm=EVENTS_PER_FALSE_ALARM),
    )
