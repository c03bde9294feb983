"""The whole monitor in one process: broker, ClickHouse, worker, sink and health pages; nothing remains afterwards."""

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
from tools.demo.tcp_proxy import tcp_proxy

T = TypeVar("T")
log = logging.getLogger(__name__)

EVENTS_PER_FALSE_ALARM = 50_000
_STOP_S = 20.0
_POLL_S = 0.05


class EmbeddedStack:
    """Context manager that starts broker and ClickHouse on entry and stops all parts in reverse order on exit.

    Parameters
    ----------
    folder
        Data folder of the embedded ClickHouse.
    ports
        Ports of Kafka and of ClickHouse's HTTP interface; 0 selects a free port. A free port replaces one in use.

    Attributes
    ----------
    settings
        Settings with the broker's own address; the environment does not affect them.
    brokers
        Broker address for other clients.
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
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._exit_stack.aclose()
            raise
        return self

    async def _enter(self) -> None:
        self._exit_stack.callback(self._broker.close)
        self._exit_stack.callback(self._thread.shutdown)
        await asyncio.to_thread(self._broker.create_topics, self.settings.kafka)
        self.brokers = await self._exit_stack.enter_async_context(tcp_proxy(self._kafka_port, self.brokers))
        self._client = await self.in_sql_thread(lambda: connect(self.settings.clickhouse))
        self._exit_stack.push_async_callback(self.in_sql_thread, self._client.close)
        await self.in_sql_thread(self._migrate)
        await self._serve_store()
        readiness, prefix = Readiness(self.worker.lag), "worker.health_"
        pages = await serve("127.0.0.1", 0, lambda: self.worker.error is None, readiness, settings=prefix)
        self._exit_stack.push_async_callback(pages.cleanup)
        self.metrics_port = pages.addresses[0][1]

    async def _serve_store(self) -> None:
        try:
            await self.server.start()
        except OSError:
            await self.server.stop()
            self.server = StoreServer(self.settings.clickhouse, port=0)
            await self.server.start()
        self._exit_stack.push_async_callback(self.server.stop)

    async def start(self) -> None:
        """Start worker and sink; return when both have their partitions assigned."""
        self._tasks = {
            "sink": asyncio.create_task(self.sink.run()),
            "worker": asyncio.create_task(self.worker.run()),
        }
        self._exit_stack.push_async_callback(self._stop_services)
        await self.wait_until(lambda: self.sink.ready.is_set() and len(self.worker.lag() or ()) == PARTITIONS)

    async def _stop_services(self) -> None:
        """Drain the worker first, so that the sink stores the worker's last outputs."""
        # A failed worker blocks forever by design and cannot drain. Its Faust app must be stopped, or it would restart
        # its agents while the event loop closes.
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
        except Exception as error:  # noqa: BLE001 - the remaining parts must stop too
            log.warning("%s did not stop within %.0f s: %r", name, _STOP_S, error)

    async def __aexit__(self, *_: object) -> None:
        await self._exit_stack.aclose()

    async def wait_until(self, condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition; raise if worker or sink stops meanwhile."""
        while True:
            self.raise_if_stopped()
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(_POLL_S)

    def raise_if_stopped(self) -> None:
        """Raise `StreamgaugeError` if worker or sink stopped."""
        for name, task in self._tasks.items():
            if task.done():
                error = self.worker.error if name == "worker" and task.cancelled() else task.exception()
                raise StreamgaugeError(f"demo: the {name} stopped: {error!r}") from error

    def backlog(self) -> int:
        """Return the largest lag in records over all partitions that worker and sink read."""
        return max([*(self.worker.lag() or {}).values(), *self.sink.lag().values()], default=0)

    def _migrate(self) -> None:
        migrate(self._sql, self.settings)
        self._sql.command(f"USE {self.settings.clickhouse.database}")

    async def query(self, sql: str) -> QueryResult:
        """Run SQL in the embedded ClickHouse."""
        return await self.in_sql_thread(lambda: self._sql.query(sql))

    @property
    def _sql(self) -> Client:
        if self._client is None:
            raise StreamgaugeError("demo: ClickHouse is not open; enter the context manager first")
        return self._client

    async def in_sql_thread(self, work: Callable[[], T]) -> T:
        """Run blocking work in the thread that owns the ClickHouse client."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def demo_settings(brokers: str, folder: Path) -> Settings:
    """Return explicit settings for every part, so that environment variables cannot affect the demo."""
    return Settings(
        # A long session timeout: on two busy cores, a pause of the process must not cause a rebalance.
        kafka=KafkaSettings(brokers=brokers, partitions=PARTITIONS, session_timeout_s=30.0),
        worker=WorkerSettings(),
        sink=SinkSettings(linger_s=0.5),
        clickhouse=ClickHouseSettings(path=folder / "clickhouse"),
        aggregates=AggregatesSettings(flush_interval_s=1.0),
        alerts=AlertsSettings(),
        # The default of 10,000 would cause about one false alarm in the demo's 14,400 calls.
        drift=DriftSettings(events_per_false_alarm=EVENTS_PER_FALSE_ALARM),
    )
