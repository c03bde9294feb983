"""``/health``, ``/ready`` and ``/metrics``, on loopback unless a setting says otherwise."""

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

import streams.runtime.metrics  # noqa: F401 - registers what /metrics shows
from schemas.errors import SettingsError
from streams.runtime.http_server import Runner

_STUCK_S = 30.0
_HANDSHAKE_S = 5.0


class Readiness:
    """Ready means: the consumer has started, and where there is lag it moves.

    One bad record on a state topic once stalled a worker in silence, with its process alive and its group stable; so
    a lag that has not moved for 30 s is not ready, whatever else looks well.
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
        self._seen: dict[Any, tuple[int, float]] = {}

    def _stuck(self, lag: Mapping[Any, int]) -> list[Any]:
        """Return the partitions whose lag is not zero and has not moved for 30 s."""
        now = self._clock()
        for partition, behind in lag.items():
            if behind == 0 or self._seen.get(partition, (None, now))[0] != behind:
                self._seen[partition] = (behind, now)
        return [p for p in lag if now - self._seen[p][1] > _STUCK_S]

    def answer(self) -> tuple[int, dict[str, object]]:
        """Return the HTTP status and what to say; a lag of None is one that is not known yet."""
        lag = self._lag()
        known = lag or {}
        stuck = self._stuck(known)
        ready = lag is not None and not stuck
        return (200 if ready else 503), {
            "ready": ready,
            "lag": {str(p): n for p, n in known.items()},
            "stuck": [str(p) for p in stuck],
            **self._details(),
        }


class Ready(Protocol):
    """Says whether the process does its work."""

    def answer(self) -> tuple[int, dict[str, object]]:
        """Return the HTTP status and what to say."""


async def serve(host: str, port: int, alive: Callable[[], bool], readiness: Ready, *, settings: str) -> web.AppRunner:
    """Serve until the returned runner is cleaned up. Port 0 takes a free one; for ``settings`` see `listen`."""
    app = web.Application()
    app.add_routes(pages(alive, readiness))
    app.add_routes([web.get("/metrics", _metrics)])
    runner = Runner(app)
    await listen(runner, host, port, settings=settings)
    return runner


async def listen(
    runner: web.AppRunner, host: str, port: int, *, settings: str, tls: ssl.SSLContext | None = None
) -> None:
    """Take requests at an address.

    Parameters
    ----------
    runner
        Is set up here.
    host, port
        The address; port 0 takes a free one.
    settings
        What the two settings that named it begin with: ``ingest.`` or ``worker.health_``.
    tls
        For HTTPS.

    Raises
    ------
    SettingsError
        If that cannot be done: the port is taken, the address not of this machine.
    """
    await runner.setup()
    try:
        await _Site(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error.strerror
        variable = f"STREAMGAUGE_{settings.replace('.', '__').upper()}PORT"
        raise SettingsError(
            f"{settings}host={host}, {settings}port={port}: {why}; "
            f"end what listens there, or set another port: {variable} (0 takes a free one)",
            f"{settings}host" if error.errno == errno.EADDRNOTAVAIL else f"{settings}port",
            "unavailable",
        ) from error


class _Site(web.TCPSite):
    async def start(self) -> None:
        """Listen as aiohttp's does, but with less patience: asyncio gives a TLS handshake a minute.

        A connection is not ours to close before its handshake is over, and takes a file descriptor meanwhile.
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


def pages(alive: Callable[[], bool], readiness: Ready) -> list[web.RouteDef]:
    """Return ``/health`` and ``/ready``."""

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"alive": alive()}, status=200 if alive() else 503)

    async def ready(_: web.Request) -> web.Response:
        status, body = readiness.answer()
        return web.json_response(body, status=status)

    return [web.get("/health", health), web.get("/ready", ready)]


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
