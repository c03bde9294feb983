"""The server: routes, refusals, metrics, and where it may listen."""

from __future__ import annotations

import ipaddress
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from schemas.errors import RequestError, SettingsError
from schemas.settings import Ingest, Settings
from streams.gateway import otlp
from streams.gateway.door import Door
from streams.gateway.native import Native
from streams.gateway.otlp import Otlp
from streams.gateway.outbox import Outbox
from streams.metrics import INGEST_REFUSALS, INGEST_REQUESTS, INGEST_SECONDS
from streams.web import pages

log = logging.getLogger(__name__)

_OTLP = ("/v1/traces", "/v1/logs")
_KEEPALIVE_S = 75.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        self._tls = _tls(self._settings)
        self._outbox = Outbox(settings)
        self.door = Door(self._settings)
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port it listens on, where 0 took a free one."""
        return int(self._runner.addresses[0][1]) if self._runner else 0

    async def start(self) -> None:
        """Connect, as soon as that can be done, and listen at once."""
        self._outbox.start()
        # Bodies are unpacked by us: aiohttp would do it without a bound on what comes out.
        runner = web.AppRunner(
            self._app(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_S,
            shutdown_timeout=self._settings.drain_timeout_s,
        )
        await runner.setup()
        await web.TCPSite(runner, self._settings.host, self._settings.port, ssl_context=self._tls).start()
        self._runner = runner
        scheme = "https" if self._tls else "http"
        keys = self._settings.keys_file or "no keys: anyone who reaches this address may send, for any tenant"
        log.info("listening on %s://%s:%d; %s", scheme, self._settings.host, self.port, keys)

    async def stop(self) -> None:
        """Take no more requests, finish those at hand, disconnect."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._outbox.stop()

    def answer(self) -> tuple[int, dict[str, object]]:
        """Say whether it is ready: Kafka answers."""
        ready = self._outbox.reachable
        return (200 if ready else 503), {"ready": ready, "in_flight_bytes": self.door.room.used}

    def _app(self) -> web.Application:
        native = Native(self._settings, self.door, self._outbox)
        telemetry = Otlp(self._settings, self.door, self._outbox)
        app = web.Application(middlewares=[_answered])
        app.add_routes(
            [
                web.post("/v1/events", native.events),
                web.post("/v1/feedback", native.feedback),
                web.post("/v1/traces", telemetry.traces),
                web.post("/v1/logs", telemetry.logs),
                *pages(lambda: True, self),
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
        body, content_type = otlp.failure(str(error), request.content_type)
    else:
        body, content_type = orjson.dumps({"error": str(error), "reason": error.reason}), otlp.JSON
    return web.Response(body=body, status=error.status, headers=headers, content_type=content_type)


def check_open(settings: Ingest) -> None:
    """Raise `SettingsError` if anyone could send from another machine, and nobody said that this is meant."""
    if settings.keys_file is not None or settings.allow_anonymous or _is_loopback(settings.host):
        return
    remedy = "set ingest.keys_file (`streamgauge ingest-key create`), or ingest.allow_anonymous=true if that is meant"
    raise SettingsError(f"ingest.host={settings.host}: without keys anyone who reaches it could send; {remedy}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(settings: Ingest) -> ssl.SSLContext | None:
    if settings.tls_cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ingest.tls_cert_file={settings.tls_cert_file}: {error}; give PEM files") from error
    return context
