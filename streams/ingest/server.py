"""The server: routes, refusals, metrics, and where it may listen."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import orjson
from aiohttp import web

from schemas.errors import RequestError
from schemas.settings import Settings
from streams.ingest import otlp_api
from streams.ingest.admission import Door
from streams.ingest.auth_check import check_open
from streams.ingest.events_api import Native
from streams.ingest.in_flight_requests import AtHand, Handler
from streams.ingest.otlp_api import Otlp
from streams.ingest.reliable_producer import Outbox
from streams.runtime.health import health_routes, listen
from streams.runtime.http_server import Runner, expect_nothing
from streams.runtime.metrics import INGEST_REFUSALS, INGEST_REQUESTS, INGEST_SECONDS
from streams.runtime.tls import server_tls

log = logging.getLogger(__name__)

_OTLP = ("/v1/traces", "/v1/logs")
_KEEPALIVE_S = 75.0
_CLOSE_S = 1.0
_LINGER_S = 2.0
"""How long the rest of a body that was refused is taken and thrown away, so that its sender reads why."""


class Gateway:
    """Takes events, labels and telemetry over HTTP into Kafka.

    Parameters
    ----------
    settings
        All settings.

    Raises
    ------
    SettingsError
        If the key file cannot be used, or if anyone could send from anywhere.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.ingest
        check_open(self._settings)
        self._tls = server_tls(self._settings)
        self._outbox = Outbox(settings)
        self.door = Door(self._settings)
        self._at_hand = AtHand()
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port it listens on, where 0 took a free one."""
        return int(self._runner.addresses[0][1]) if self._runner else 0

    async def start(self) -> None:
        """Listen at once, and connect as soon as that can be done."""
        # Bodies are unpacked by us: aiohttp would do it without a bound on what comes out.
        runner = Runner(
            self._app(),
            self.door.connections,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            shutdown_timeout=_CLOSE_S,
        )
        await listen(runner, self._settings.host, self._settings.port, settings="ingest.", tls=self._tls)
        self._runner = runner
        self._watching = asyncio.create_task(self.door.connections.watch())
        self._outbox.start()
        scheme = "https" if self._tls else "http"
        keys = self._settings.keys_file or "no keys: anyone who reaches this address may send, for any tenant"
        log.info("listening on %s://%s:%d; %s", scheme, self._settings.host, self.port, keys)

    async def stop(self) -> None:
        """Take no more requests, finish those at hand, disconnect."""
        if self._runner is not None:
            self._watching.cancel()
            for site in self._runner.sites:
                await site.stop()
            # aiohttp's own way to stop reads no further: a body that is still arriving would never be there.
            await self._at_hand.finish(self._settings.drain_timeout_s)
            await self._runner.cleanup()
        await self._outbox.stop()

    def answer(self) -> tuple[int, dict[str, object]]:
        """Say whether it is ready: Kafka answers."""
        ready = self._outbox.reachable
        said = {"ready": ready, "in_flight_bytes": self.door.room.used, "kafka": self._outbox.trouble or "answers"}
        return (200 if ready else 503), said

    def _app(self) -> web.Application:
        native = Native(self._settings, self.door, self._outbox)
        telemetry = Otlp(self._settings, self.door, self._outbox)
        app = web.Application(middlewares=[self.door.connections.hear, _answered, self._at_hand.count])
        app.add_routes(
            [
                web.post("/v1/events", native.events, expect_handler=expect_nothing),
                web.post("/v1/feedback", native.feedback, expect_handler=expect_nothing),
                web.post("/v1/traces", telemetry.traces, expect_handler=expect_nothing),
                web.post("/v1/logs", telemetry.logs, expect_handler=expect_nothing),
                *health_routes(lambda: True, self),
            ]
        )
        return app


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time a request; turn a refusal into its answer."""
    begin = time.perf_counter()
    path = request.match_info.route.resource.canonical if request.match_info.route.resource else "other"
    try:
        response = await handler(request)
        status = response.status
    except RequestError as error:
        INGEST_REFUSALS.labels(error.reason).inc()
        response, status = refusal(error, request), error.status
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        INGEST_SECONDS.observe(time.perf_counter() - begin)
    INGEST_REQUESTS.labels(path, str(status)).inc()
    return response


def refusal(error: RequestError, request: web.Request) -> web.Response:
    """Return the answer to a request that is refused whole."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if request.path in _OTLP:
        body, content_type = otlp_api.failure(str(error), request.content_type)
    else:
        body, content_type = orjson.dumps({"error": str(error), "reason": error.reason}), otlp_api.JSON
    return web.Response(body=body, status=error.status, headers=headers, content_type=content_type)
