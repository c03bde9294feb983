"""The demo from begin to end."""

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
from tools.demo.alert_collector import Listener
from tools.demo.embedded_stack import Stage
from tools.demo.exactness_checks import Check, check
from tools.demo.live_view import LIVE_SQL, Screen
from tools.demo.publisher import Publisher
from tools.demo.report import Sql, show_checks, show_exports, show_queries, show_verdict, show_ways_in
from tools.demo.scorecard import judge
from tools.simulator import Traffic, simulate

RATE = 330.0
"""Records a second: the hour takes 50 s."""

DEADLINE_S = 175.0
_SETTLE_S = 30.0
_POLL_S = 0.7
_PORTS = (9092, 8123)
"""Of Kafka and of ClickHouse, where it stays: those that the pages and the settings have."""

_WIDTH = 100


async def run_demo(console: Console, *, seed: int, stay: bool) -> int:
    """Play an hour of traffic with four incidents through the whole monitor.

    Parameters
    ----------
    console
        Where to print.
    seed
        Of the traffic.
    stay
        Keep serving afterwards, until SIGINT or SIGTERM.

    Returns
    -------
    int
        0 if all incidents were caught and every number in ClickHouse is exact, 1 otherwise.

    Raises
    ------
    StreamgaugeError
        If a part stops or the whole takes too long; says how far it was.
    """
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    main = asyncio.ensure_future(_run(console, seed, stay=stay))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    try:
        return await main
    except asyncio.CancelledError:
        console.print("\nstopped before the end")
        return 1


async def _run(console: Console, seed: int, *, stay: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="streamgauge-demo-") as name, _quiet(Path(name) / "demo.log"):
        return await _Demo(console, Path(name), seed).run(stay=stay)


class _Demo:
    def __init__(self, console: Console, folder: Path, seed: int) -> None:
        self._console = console
        self._folder = folder
        self._doing = "starting"
        # The last full hour, so that the hour in the tables is one hour.
        begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        self._traffic: Traffic = simulate(begin, seed=seed)
        self._screen = Screen(console, len(self._traffic.records))

    async def run(self, *, stay: bool) -> int:
        begin = time.monotonic()
        try:
            async with (
                asyncio.timeout(DEADLINE_S) as deadline,
                Stage(self._folder, _PORTS if stay else (0, 0)) as stage,
            ):
                self._greet()
                code = await self._play(stage)
                self._say(f"[dim]{time.monotonic() - begin:.0f} s in all[/dim]")
                self._ways_in(stage, serving=stay)
                if stay:
                    deadline.reschedule(None)
                    await self._serve(stage)
                return code
        except TimeoutError as error:
            p = self._screen.progress
            raise StreamgaugeError(
                f"demo: not done after {DEADLINE_S:.0f} s; it was {self._doing} ({p.sent:,} of {p.total:,} records "
                f"sent, {p.stored:,} events stored, {p.backlog:,} waiting); is the machine busy? {self._last_log()}"
            ) from error

    async def _play(self, stage: Stage) -> int:
        await self._compile(stage)
        self._doing = "waiting for worker and sink"
        await stage.begin()
        async with Listener(stage.settings.kafka, self._screen.heard) as listener:
            with self._screen:
                await self._publish(stage)
                checks = await self._settle(stage, listener)
                await self._look(stage, self._screen.progress.sent)
        verdict = judge(self._traffic.truth, listener.alerts)
        self._say("")
        show_verdict(self._console, verdict)
        await show_queries(self._console, stage.query)
        show_checks(self._console, checks)
        exact = all(c.ok for c in checks)
        good = exact and verdict.caught == len(verdict.catches) > 0
        self._say(
            "\n[bold green]All caught, all exact.[/bold green]"
            if good
            else "\n[bold red]Not as it should be.[/bold red]"
        )
        return 0 if good else 1

    def _greet(self) -> None:
        truth, seconds = self._traffic.truth, len(self._traffic.records) / RATE
        self._say(
            f"[bold]Three services[/bold] (health, finance, security) make {truth.calls:,} LLM calls in an hour, "
            f"played in {seconds:.0f} s. {truth.kinds['request']:,} of them come as two halves, "
            f"{truth.kinds['malformed']} records are malformed, {truth.kinds['feedback']} labels come after. "
            f"[bold]{len(truth.incidents)} incidents[/bold] "
            "are hidden in it.\nKafka broker, worker, sink and ClickHouse all run in this process, on loopback and a "
            "temporary folder.\nThe texts are real; the attacks are from sources that the weights never saw "
            "(tools/simulator/samples/README.md).\n"
        )

    async def _compile(self, stage: Stage) -> None:
        self._doing = "loading kernels"
        with self._console.status("loading kernels (the first run compiles them: about a minute of one core)"):
            await asyncio.to_thread(warm, stage.settings)

    async def _publish(self, stage: Stage) -> None:
        self._doing = "publishing"
        publisher = Publisher(stage.settings.kafka, RATE, stage.backlog)
        sending = asyncio.create_task(publisher.publish(self._traffic.records))
        try:
            while not sending.done():
                stage.check()
                await self._look(stage, publisher.sent)
                await asyncio.wait({sending}, timeout=_POLL_S)
            await sending
        finally:
            sending.cancel()
        await self._look(stage, publisher.sent)

    async def _look(self, stage: Stage, sent: int) -> None:
        p = self._screen.progress
        p.sent, p.backlog = sent, stage.backlog()
        p.clock_ms = self._traffic.records[max(sent - 1, 0)].at_ms
        p.apps = (await stage.query(LIVE_SQL)).result_rows
        self._screen.moved()

    async def _settle(self, stage: Stage, listener: Listener) -> list[Check]:
        """Wait until everything is in ClickHouse; return what was compared, right or wrong, when time is up."""
        self._doing = "waiting for the last rows"
        checks: list[Check] = []

        async def settled() -> bool:
            nonlocal checks
            await self._look(stage, self._screen.progress.sent)
            quiet = stage.backlog() == 0
            checks = await check(stage.query, self._traffic.truth, len(listener.alerts))
            return quiet and all(c.ok for c in checks)

        try:
            async with asyncio.timeout(_SETTLE_S):
                await stage.until(settled)
        except TimeoutError:
            checks = checks or await check(stage.query, self._traffic.truth, len(listener.alerts))
        return checks

    def _ways_in(self, stage: Stage, *, serving: bool) -> None:
        [(user, password)] = stage.server.accounts.items()
        sql = Sql(stage.server.port, user, password)
        show_ways_in(self._console, stage.brokers, sql, stage.metrics_port, serving=serving)
        if serving:
            show_exports(self._console, stage.brokers, sql, stage.settings.drift.events_per_false_alarm)

    async def _serve(self, stage: Stage) -> None:
        async def ended() -> None:
            await stage.until(lambda: False)

        async def nothing() -> None:
            return None

        await until_signalled(ended, nothing)
        self._say("stopping")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def _last_log(self) -> str:
        lines = (self._folder / "demo.log").read_text().splitlines()
        return f"Last in the log: {lines[-1]}" if lines else ""


@contextmanager
def _quiet(file: Path) -> Iterator[None]:
    """Send the log to a file while the terminal is ours."""
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
