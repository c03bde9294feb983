"""Health endpoints ``/health``, ``/ready`` and ``/metrics``, on loopback by default."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import streams.runtime.metrics  # noqa: F401 - registers the metrics of /metrics
from schemas.errors import SettingsError
from streams.runtime.http_server import Runner

_STUCK_S = 30.0
_HANDSHAKE_S = 5.0


class Readiness:
    """Readiness check: the consumer has started, and the lag of every partition is zero or changes.

    A bad record on a state topic once stalled a worker silently, with its process alive and its group stable. Therefore
    a nonzero lag that has not changed for 30 s makes the service not ready.
    """

    def __init__(
        self,
        lag: Callable[[], Mapping[Any, int] | None],
        clock: Callable[[], float] = time.monotonic,
        details: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._lag = lag
        self._details = details
        self._clock = clock
        self._last_change: dict[Any, tuple[int, float]] = {}

    def _stuck(self, lag: Mapping[Any, int]) -> list[Any]:
        """Return the partitions whose lag is nonzero and has not changed for 30 s."""
        now = self._clock()
        for partition, records in lag.items():
            if records == 0 or self._last_change.get(partition, (None, now))[0] != records:
                self._last_change[partition] = (records, now)
        return [p for p in lag if now - self._last_change[p][1] > _STUCK_S]

    def answer(self) -> tuple[int, dict[str, object]]:
        """Return HTTP status and body; a service with an unknown lag (None) is not ready."""
        lag = self._lag()
        known_lag = lag or {}
        stuck = self._stuck(known_lag)
        ready = lag is not None and not stuck
        return (200 if ready else 503), {
            "ready": ready,
            "lag": {str(p): n for p, n in known_lag.items()},
            "stuck": [str(p) for p in stuck],
            **self._details(),
        }


class ReadinessCheck(Protocol):
    """Readiness of a service."""

    def answer(self) -> tuple[int, dict[str, object]]:
        """Return HTTP status and body."""


async def serve(
    host: str, port: int, alive: Callable[[], bool], readiness: ReadinessCheck, *, settings: str
) -> web.AppRunner:
    """Serve the health endpoints until the returned runner is cleaned up; see `listen` for ``settings``."""
    app = web.Application()
    app.add_routes(health_routes(alive, readiness))
    app.add_routes([web.get("/metrics", _metrics)])
    runner = Runner(app)
    await listen(runner, host, port, settings=settings)
    return runner


async def listen(
    runner: web.AppRunner, host: str, port: int, *, settings: str, tls: ssl.SSLContext | None = None
) -> None:
    """Listen at an address.

    Parameters
    ----------
    runner
        Application runner, which this function sets up.
    host, port
        Address; port 0 selects a free port.
    settings
        Prefix of the host and port settings: ``ingest.`` or ``worker.health_``.
    tls
        TLS context for HTTPS.

    Raises
    ------
    SettingsError
        If the port is in use or the address does not belong to this machine.
    """
    await runner.setup()
    try:
        await _Site(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        cause = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error.strerror
        variable = f"STREAMGAUGE_{settings.replace('.', '__').upper()}PORT"
        raise SettingsError(
            f"{settings}host={host}, {settings}port={port}: {cause}; "
            f"stop the process that listens there, or set another port: {variable} (0 selects a free port)",
            f"{settings}host" if error.errno == errno.EADDRNOTAVAIL else f"{settings}port",
            "unavailable",
        ) from error


class _Site(web.TCPSite):
    async def start(self) -> None:
        """Listen like aiohttp's site, with a TLS handshake timeout of 5 s instead of asyncio's 60 s.

        A connection cannot be closed before its handshake has ended, and holds a file descriptor until then.
        """
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(
            cast("web.Server", self._runner.server),
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=_HANDSHAKE_S if self._ssl_context else None,
        )


def health_routes(alive: Callable[[], bool], readiness: ReadinessCheck) -> list[web.RouteDef]:
    """Return the routes ``/health`` and ``/ready``."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"alive": alive()}, status=200 if alive() else 503)

    async def ready(_: web.Request) -> web.Response:
        status, body = readiness.answer()
        return web.json_response(body, status=status)

    return [web.get("/health", health), web.get("/ready", ready)]


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
