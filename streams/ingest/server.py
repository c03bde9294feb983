"""The HTTP server of the ingest service: routes, error responses, metrics and shutdown."""

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
from streams.ingest.admission import Admission
from streams.ingest.auth_check import require_auth_or_loopback
from streams.ingest.events_api import EventsApi
from streams.ingest.in_flight_requests import Handler, InFlightRequests
from streams.ingest.otlp_api import OtlpApi
from streams.ingest.reliable_producer import ReliableProducer
from streams.runtime.health import health_routes, listen
from streams.runtime.http_server import Runner, expect_nothing
from streams.runtime.metrics import INGEST_REFUSALS, INGEST_REQUESTS, INGEST_SECONDS
from streams.runtime.tls import server_tls

log = logging.getLogger(__name__)

_OTLP = ("/v1/traces", "/v1/logs")
_KEEPALIVE_S = 75.0
_CLOSE_S = 1.0
_LINGER_S = 2.0
"""Seconds that the rest of a rejected body is read and discarded, so that the sender receives the error response."""


class IngestServer:
    """HTTP server that writes events, labels and telemetry to Kafka.

    Parameters
    ----------
    settings
        All settings.

    Raises
    ------
    SettingsError
        If the key file cannot be used, or if the listen address requires keys and there are none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.ingest
        require_auth_or_loopback(self._settings)
        self._tls = server_tls(self._settings)
        self._producer = ReliableProducer(settings)
        self.admission = Admission(self._settings)
        self._in_flight = InFlightRequests()
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The listen port: the actual port if the setting is 0."""
        return int(self._runner.addresses[0][1]) if self._runner else 0

    async def start(self) -> None:
        """Start to listen, and to connect to Kafka in the background."""
        # No auto_decompress: aiohttp would unpack bodies without a limit.
        runner = Runner(
            self._app(),
            self.admission.connections,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            shutdown_timeout=_CLOSE_S,
        )
        await listen(runner, self._settings.host, self._settings.port, settings="ingest.", tls=self._tls)
        self._runner = runner
        self._closing_idle = asyncio.create_task(self.admission.connections.close_idle())
        self._producer.start()
        scheme = "https" if self._tls else "http"
        keys = self._settings.keys_file or "none (every machine that can connect may send for all tenants)"
        log.info("listening on %s://%s:%d; keys: %s", scheme, self._settings.host, self.port, keys)

    async def stop(self) -> None:
        """Reject new requests, finish in-flight requests, and disconnect."""
        if self._runner is not None:
            self._closing_idle.cancel()
            for site in self._runner.sites:
                await site.stop()
            # aiohttp's shutdown stops reading, so bodies that are still arriving would never complete.
            await self._in_flight.finish(self._settings.drain_timeout_s)
            await self._runner.cleanup()
        await self._producer.stop()

    def answer(self) -> tuple[int, dict[str, object]]:
        """Return status and body of the readiness page: ready if Kafka answers."""
        ready = self._producer.reachable
        state = {
            "ready": ready,
            "in_flight_bytes": self.admission.budget.used,
            "kafka": self._producer.problem or "answers",
        }
        return (200 if ready else 503), state

    def _app(self) -> web.Application:
        events = EventsApi(self._settings, self.admission, self._producer)
        otlp = OtlpApi(self._settings, self.admission, self._producer)
        app = web.Application(middlewares=[self.admission.connections.track, _measured, self._in_flight.count])
        app.add_routes(
            [
                web.post("/v1/events", events.events, expect_handler=expect_nothing),
                web.post("/v1/feedback", events.feedback, expect_handler=expect_nothing),
                web.post("/v1/traces", otlp.traces, expect_handler=expect_nothing),
                web.post("/v1/logs", otlp.logs, expect_handler=expect_nothing),
                *health_routes(lambda: True, self),
            ]
        )
        return app


@web.middleware
async def _measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time a request; convert a `RequestError` to its error response."""
    start = time.perf_counter()
    path = request.match_info.route.resource.canonical if request.match_info.route.resource else "other"
    try:
        response = await handler(request)
        status = response.status
    except RequestError as error:
        INGEST_REFUSALS.labels(error.reason).inc()
        response, status = error_response(error, request), error.status
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        INGEST_SECONDS.observe(time.perf_counter() - start)
    INGEST_REQUESTS.labels(path, str(status)).inc()
    return response


def error_response(error: RequestError, request: web.Request) -> web.Response:
    """Return the response to a rejected request."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if request.path in _OTLP:
        body, content_type = otlp_api.error_status(str(error), request.content_type)
    else:
        body, content_type = orjson.dumps({"error": str(error), "reason": error.reason}), otlp_api.JSON
    return web.Response(body=body, status=error.status, headers=headers, content_type=content_type)
