"""Run the demo from start to end."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from schemas.errors import StreamgaugeError
from streams.runtime.lifecycle import until_signalled
from streams.worker.warmup import warm
from tools.demo.alert_collector import AlertCollector
from tools.demo.embedded_stack import EmbeddedStack
from tools.demo.exactness_checks import Check, run_checks
from tools.demo.live_view import LIVE_SQL, LiveView
from tools.demo.publisher import Publisher
from tools.demo.report import SqlEndpoint, show_checks, show_connections, show_exports, show_queries, show_scorecard
from tools.demo.scorecard import Scorecard, build_scorecard
from tools.simulator import Traffic, simulate

RATE = 330.0
"""Records per second; the simulated hour takes 50 s."""

DEADLINE_S = 175.0
_SETTLE_S = 30.0
_POLL_S = 0.7
_PORTS = (9092, 8123)
"""Ports of Kafka and ClickHouse with ``--stay``; the docs and the default settings use them."""

_WIDTH = 100


async def run_demo(console: Console, *, seed: int, stay: bool) -> int:
    """Run one hour of simulated traffic with four incidents through the whole monitor.

    Parameters
    ----------
    console
        Console to print to.
    seed
        Seed of the traffic.
    stay
        Keep all endpoints open afterwards, until SIGINT or SIGTERM.

    Returns
    -------
    int
        0 if all incidents were detected and every figure in ClickHouse is exact, 1 otherwise.

    Raises
    ------
    StreamgaugeError
        If a part stops or the deadline passes; the message contains the progress.
    """
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    main = asyncio.ensure_future(_run(console, seed, stay=stay))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    try:
        return await main
    except asyncio.CancelledError:
        console.print("\ninterrupted")
        return 1


async def _run(console: Console, seed: int, *, stay: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="streamgauge-demo-") as name, _log_to_file(Path(name) / "demo.log"):
        return await _Demo(console, Path(name), seed).run(stay=stay)


class _Demo:
    def __init__(self, console: Console, folder: Path, seed: int) -> None:
        self._console = console
        self._folder = folder
        self._phase = "starting"
        # The last full hour, so that the hourly aggregates have a single row per app and version.
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        self._traffic: Traffic = simulate(start, seed=seed)
        self._view = LiveView(console, len(self._traffic.records))

    async def run(self, *, stay: bool) -> int:
        start = time.monotonic()
        try:
            async with (
                asyncio.timeout(DEADLINE_S) as deadline,
                EmbeddedStack(self._folder, _PORTS if stay else (0, 0)) as stack,
            ):
                self._print_introduction()
                code = await self._play(stack)
                self._print(f"[dim]{time.monotonic() - start:.0f} s in total[/dim]")
                self._print_connections(stack, serving=stay)
                if stay:
                    deadline.reschedule(None)
                    await self._serve(stack)
                return code
        except TimeoutError as error:
            p = self._view.progress
            raise StreamgaugeError(
                f"demo: not finished after {DEADLINE_S:.0f} s while {self._phase} ({p.sent:,} of {p.total:,} records "
                f"sent, {p.stored:,} events stored, lag {p.backlog:,}); run it on an idle machine. {self._last_log()}"
            ) from error

    async def _play(self, stack: EmbeddedStack) -> int:
        await self._compile(stack)
        self._phase = "waiting for worker and sink"
        await stack.start()
        async with AlertCollector(stack.settings.kafka, self._view.on_alert) as collector:
            with self._view:
                await self._publish(stack)
                checks = await self._settle(stack, collector)
                await self._update_view(stack, self._view.progress.sent)
        scorecard = build_scorecard(self._traffic.truth, collector.alerts)
        self._print("")
        show_scorecard(self._console, scorecard)
        await show_queries(self._console, stack.query)
        show_checks(self._console, checks)
        return self._print_result(scorecard, checks)

    def _print_result(self, scorecard: Scorecard, checks: list[Check]) -> int:
        missed = len(scorecard.detections) - scorecard.detected
        different = sum(not c.ok for c in checks)
        if scorecard.detections and not missed and not different:
            self._print("\n[bold green]All incidents detected, all figures exact.[/bold green]")
            return 0
        result = f"Demo failed: {missed} incidents missed, {different} figures differ (see above)."
        self._print(f"\n[bold red]{result}[/bold red]")
        return 1

    def _print_introduction(self) -> None:
        truth, seconds = self._traffic.truth, len(self._traffic.records) / RATE
        self._print(
            f"[bold]Three services[/bold] (health, finance, security) make {truth.calls:,} LLM calls in one hour, "
            f"replayed in {seconds:.0f} s. {truth.kinds['request']:,} calls arrive as separate request and response "
            f"records, {truth.kinds['malformed']} records are malformed, and {truth.kinds['feedback']} labels follow. "
            f"The traffic contains [bold]{len(truth.incidents)} incidents[/bold].\n"
            "Kafka broker, worker, sink and ClickHouse run in this process, on loopback and in a temporary folder.\n"
            "The texts are real; the attacks come from sources that were not used in training "
            "(tools/simulator/samples/README.md).\n"
        )

    async def _compile(self, stack: EmbeddedStack) -> None:
        self._phase = "loading kernels"
        with self._console.status("loading kernels (the first run compiles them, about one minute on one core)"):
            await asyncio.to_thread(warm, stack.settings)

    async def _publish(self, stack: EmbeddedStack) -> None:
        self._phase = "publishing"
        publisher = Publisher(stack.settings.kafka, RATE, stack.backlog)
        sending = asyncio.create_task(publisher.publish(self._traffic.records))
        try:
            while not sending.done():
                stack.raise_if_stopped()
                await self._update_view(stack, publisher.sent)
                await asyncio.wait({sending}, timeout=_POLL_S)
            await sending
        finally:
            sending.cancel()
        await self._update_view(stack, publisher.sent)

    async def _update_view(self, stack: EmbeddedStack, sent: int) -> None:
        p = self._view.progress
        p.sent, p.backlog = sent, stack.backlog()
        p.clock_ms = self._traffic.records[max(sent - 1, 0)].at_ms
        p.apps = (await stack.query(LIVE_SQL)).result_rows
        self._view.refresh()

    async def _settle(self, stack: EmbeddedStack, collector: AlertCollector) -> list[Check]:
        """Wait until all rows are in ClickHouse or the time limit passes; return the latest checks."""
        self._phase = "waiting for the last rows"
        checks: list[Check] = []

        async def settled() -> bool:
            nonlocal checks
            await self._update_view(stack, self._view.progress.sent)
            drained = stack.backlog() == 0
            checks = await run_checks(stack.query, self._traffic.truth, len(collector.alerts))
            return drained and all(c.ok for c in checks)

        try:
            async with asyncio.timeout(_SETTLE_S):
                await stack.wait_until(settled)
        except TimeoutError:
            checks = checks or await run_checks(stack.query, self._traffic.truth, len(collector.alerts))
        return checks

    def _print_connections(self, stack: EmbeddedStack, *, serving: bool) -> None:
        [(user, password)] = stack.server.accounts.items()
        sql = SqlEndpoint(stack.server.port, user, password)
        show_connections(self._console, stack.brokers, sql, stack.metrics_port, serving=serving)
        if serving:
            show_exports(self._console, stack.brokers, sql, stack.settings.drift.events_per_false_alarm)

    async def _serve(self, stack: EmbeddedStack) -> None:
        async def run() -> None:
            await stack.wait_until(lambda: False)

        async def stop() -> None:
            return None

        await until_signalled(run, stop)
        self._print("stopping")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def _last_log(self) -> str:
        lines = (self._folder / "demo.log").read_text().splitlines()
        return f"Last log line: {lines[-1]}" if lines else ""


@contextmanager
def _log_to_file(file: Path) -> Iterator[None]:
    """Redirect the log to a file while the demo uses the terminal."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
