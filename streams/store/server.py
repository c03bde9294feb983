"""ClickHouse's HTTP interface, served from the engine in this process, so that curl, Grafana and clients can query."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from aiohttp import web

from schemas.errors import StoreError
from schemas.settings import ClickHouse
from streams.store.engine import Answer, Engine, EngineError, Query
from streams.store.guard import DeniedError
from streams.store.payload import decompress

log = logging.getLogger(__name__)
MAX_BODY_BYTES = 1 << 30
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# What the HTTP layer takes for itself; every other parameter is a setting.
TRANSPORT = frozenset(
    {"query", "database", "default_format", "user", "password", "quota_key", "session_id", "session_timeout",
     "session_check", "query_id", "compress", "decompress", "wait_end_of_query", "buffer_size", "role", "stacktrace",
     "client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
     "enable_http_compression", "http_zlib_compression_level", "add_http_cors_header", "readonly"}
)  # fmt: skip
_STATUS = {60: 404, 81: 404, 46: 404, 62: 400, 47: 404, 164: 403, 497: 403, 516: 403}
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


class StoreServer:
    """Serves the embedded engine until stopped.

    Parameters
    ----------
    settings : ClickHouse
        ``path`` names the engine's folder; ``database`` is what readers see by default.
    host, port : str, int
        Loopback unless you know better; port 0 takes a free one, which `port` then says.
    allow_inserts : bool
        Let everything through, writes too: for tests.

    Examples
    --------
    ::

        server = StoreServer(settings.clickhouse, port=8123)
        await server.start()
        # curl 'http://127.0.0.1:8123/?query=SELECT+count()+FROM+events'
        await server.stop()
    """

    def __init__(
        self, settings: ClickHouse, host: str = "127.0.0.1", port: int = 8123, *, allow_inserts: bool = False
    ) -> None:
        if settings.path is None:
            raise StoreError("clickhouse.path: not set; only the embedded engine is served from here")
        self.host = host
        self.port = port
        self._engine = Engine(settings.path, settings.database, allow_inserts=allow_inserts)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="store")
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Open the engine and listen."""
        await self._in_thread(self._engine.open)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes([web.get("/ping", self._ping), web.get("/", self._query), web.post("/", self._query)])
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        server: Any = site._server  # noqa: SLF001 - aiohttp shows a free port nowhere else
        self.port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close the engine's handle."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._in_thread(self._engine.close)
        self._threads.shutdown(wait=False)

    async def _in_thread(self, work: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.Response:
        # A page in the user's browser must not read the store by pointing a name of its own at loopback.
        if self.host in LOOPBACK and (request.url.host or "") not in LOOPBACK:
            return web.Response(status=403, text=f"Host {request.host}: ask for {self.host}\n")
        try:
            query = await _read(request)
            if not query.sql and not query.body:
                return web.Response(text="Ok.\n")
            answer: Answer = await self._in_thread(self._engine.run, query)
        except (EngineError, DeniedError) as error:
            return _failure(error.code, str(error))
        except ValueError as error:
            return _failure(36, f"Code: 36. DB::Exception: {error}")
        return _success(query, answer)


async def _read(request: web.Request) -> Query:
    """Turn an HTTP request into a query: SQL from the URL, the body or a form; data from the body."""
    fields = {k: v for k, v in request.query.items() if isinstance(v, str)}
    body = b""
    if request.content_type == "multipart/form-data":
        fields |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    else:
        body = decompress(await request.read(), request.headers.get("Content-Encoding", ""))
    default_format = request.headers.get("X-ClickHouse-Format") or fields.get("default_format") or "TabSeparated"
    return Query(
        sql=fields.get("query", ""),
        body=body,
        database=request.headers.get("X-ClickHouse-Database") or fields.get("database", ""),
        default_format=default_format,
        parameters={k[6:]: v for k, v in fields.items() if k.startswith("param_")},
        settings={k: v for k, v in fields.items() if k not in TRANSPORT and not k.startswith("param_")},
        writable=request.method == "POST",
        query_id=fields.get("query_id") or str(uuid.uuid4()),
    )


def _success(query: Query, answer: Answer) -> web.Response:
    sql = query.sql or query.body[-200:].decode(errors="replace")
    explicit = _TRAILING_FORMAT.search(sql)
    summary = {"read_rows": str(answer.read_rows), "written_rows": str(answer.written_rows), "elapsed_ns": "0"}
    headers = {
        "X-ClickHouse-Query-Id": query.query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": orjson.dumps(summary).decode(),
        "Content-Type": "text/plain; charset=UTF-8",
    }
    if answer.body:
        headers["X-ClickHouse-Format"] = explicit[1] if explicit else query.default_format
        if headers["X-ClickHouse-Format"].startswith("JSON"):
            headers["Content-Type"] = "application/json; charset=UTF-8"
    return web.Response(body=answer.body, headers=headers)


def _failure(code: int, message: str) -> web.Response:
    log.info("query refused: code %d", code)
    return web.Response(
        status=_STATUS.get(code, 500), text=f"{message}\n", headers={"X-ClickHouse-Exception-Code": str(code)}
    )
