"""ClickHouse's HTTP interface for the embedded engine, so that curl, Grafana and ClickHouse clients can query it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import re
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from aiohttp import web

from schemas.errors import StoreError
from schemas.setting_sections import ClickHouseSettings
from streams.connectors.clickhouse import origin_check
from streams.connectors.clickhouse.compressed_blocks import compress
from streams.connectors.clickhouse.native_format import at_revision
from streams.connectors.clickhouse.query_engine import Answer, Engine, Query
from streams.connectors.clickhouse.reader_role import MAX_SQL_BYTES, READER
from streams.connectors.clickhouse.request_payload import TooLargeError, decompress
from streams.runtime.http_server import Runner

log = logging.getLogger(__name__)
OWNER = "default"
"""A user with all permissions; the user exists only if ``accounts`` contains the name."""

MAX_INSERT_BYTES = 256 << 20
AUTHENTICATION_FAILED = 516
BAD_ARGUMENTS = 36
# Parameters of the HTTP layer; all other parameters are settings.
TRANSPORT = frozenset(
    {"query", "database", "default_format", "user", "password", "quota_key", "session_id", "session_timeout",
     "session_check", "query_id", "compress", "decompress", "wait_end_of_query", "buffer_size", "role", "stacktrace",
     "client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
     "enable_http_compression", "http_zlib_compression_level", "add_http_cors_header", "readonly",
     "network_compression_method"}
)  # fmt: skip
_STATUS = {
    60: 404,
    81: 404,
    46: 404,
    62: 400,
    47: 404,
    36: 400,
    164: 403,
    392: 403,
    452: 403,
    497: 403,
    AUTHENTICATION_FAILED: 403,
    307: 413,
}
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s++(\w++)\s*+(?:SETTINGS\b.*)?;?\s*+$", re.IGNORECASE | re.DOTALL)
_QUERY_ID = re.compile(r"[!-~]{1,128}")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StoreServer:
    """HTTP server for the embedded engine.

    Parameters
    ----------
    settings : ClickHouseSettings
        ``path`` is the engine's folder; ``database`` is the default database of queries.
    host, port : str, int
        Listen address, loopback by default; port 0 selects a free port, and `port` is then the actual port.
    accounts : mapping of str to str
        Password by user. All users are readers (`READER`), except for `OWNER`, which is for tests. The default is one
        reader with a random password.

    Examples
    --------
    ::

        server = StoreServer(settings.clickhouse, port=8123)
        await server.start()
        # curl -u streamgauge_reader:PASSWORD 'http://127.0.0.1:8123/?query=SELECT+count()+FROM+events'
        await server.stop()
    """

    def __init__(
        self,
        settings: ClickHouseSettings,
        host: str = "127.0.0.1",
        port: int = 8123,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        if settings.path is None:
            raise StoreError("clickhouse.path: not set; set it, as only the embedded engine can be served")
        self.host = host
        self.port = port
        self.accounts = accounts if accounts is not None else {READER: secrets.token_urlsafe(18)}
        self._engine = Engine(settings.path, settings.database)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="store")
        self._runner: Runner | None = None

    async def start(self) -> None:
        """Open the engine and listen."""
        await self._in_thread(self._engine.open)
        app = web.Application(client_max_size=MAX_INSERT_BYTES, middlewares=[self._own_origin])
        app.add_routes([web.get("/ping", self._ping), web.get("/", self._query), web.post("/", self._query)])
        self._runner = Runner(app, auto_decompress=False)
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

    @web.middleware
    async def _own_origin(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        problem = origin_check.origin_problem(request.headers, self.host)
        try:
            answer = web.Response(status=403, text=f"{problem}\n") if problem else await handler(request)
        except web.HTTPException as error:
            answer = web.Response(status=error.status, text=f"{error.reason}\n")
        answer.headers.update(origin_check.HEADERS)
        return answer

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.Response:
        user, password = _credentials(request)
        # The body of a request with a wrong password is not read.
        if not hmac.compare_digest(self.accounts.get(user, secrets.token_hex()).encode(), password.encode()):
            return _failure(AUTHENTICATION_FAILED, f"{user[:40]}: Authentication failed: no such user and password")
        try:
            query = await _read(request, owner=user == OWNER)
            if not query.sql and not query.body:
                return web.Response(text="Ok.\n")
            return _success(query, await self._in_thread(self._run, query))
        except (StoreError, ValueError) as error:
            return _failure(getattr(error, "code", BAD_ARGUMENTS), str(error))

    def _run(self, query: Query) -> Answer:
        answer = self._engine.run(query)
        body = answer.body
        if _format(query) == "Native":
            body = at_revision(body, query.revision)
        return Answer(compress(body) if query.compress else body, answer.read_rows, answer.written_rows)


def _credentials(request: web.Request) -> tuple[str, str]:
    """Return user and password, from the headers or else from the URL, as in ClickHouse."""
    headers, fields = request.headers, request.query
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", OWNER), headers.get("X-ClickHouse-Key", "")
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme:
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            return "", ""
        return (user, password) if scheme.lower() == "basic" else ("", "")
    return fields.get("user", OWNER), fields.get("password", "")


async def _read(request: web.Request, *, owner: bool) -> Query:
    """Return the query of an HTTP request: SQL from the URL, the body or a form; data from the body."""
    max_bytes = MAX_INSERT_BYTES if owner else MAX_SQL_BYTES
    if (request.content_length or 0) > max_bytes:
        raise TooLargeError(max_bytes)
    request._client_max_size = max_bytes  # noqa: SLF001 - aiohttp has one limit for all, and a reader's is smaller
    fields = dict(request.query)
    body = b""
    if request.content_type == "multipart/form-data":
        fields |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    else:
        body = decompress(await request.read(), request.headers.get("Content-Encoding", ""), max_bytes)
    if _on(fields, "decompress"):
        raise ValueError("decompress=1: not supported; send an uncompressed body, or use Content-Encoding")
    default_format = request.headers.get("X-ClickHouse-Format") or fields.get("default_format") or "TabSeparated"
    return Query(
        sql=fields.get("query", ""),
        body=body,
        database=request.headers.get("X-ClickHouse-Database") or fields.get("database", ""),
        default_format=default_format,
        parameters={k[6:]: v for k, v in fields.items() if k.startswith("param_")},
        settings={k: v for k, v in fields.items() if k not in TRANSPORT and not k.startswith("param_")},
        owner=owner and request.method == "POST",
        query_id=_id(fields.get("query_id", "")),
        compress=_on(fields, "compress"),
        revision=int(fields.get("client_protocol_version") or 0),
    )


def _id(query_id: str) -> str:
    """Return a query id that is valid in a header; a new id if the given id is not."""
    return query_id if _QUERY_ID.fullmatch(query_id) else str(uuid.uuid4())


def _on(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "0").lower() in {"1", "true"}


def _format(query: Query) -> str:
    sql = query.sql or query.body[-200:].decode(errors="replace")
    explicit = _TRAILING_FORMAT.search(sql)
    return explicit[1] if explicit else query.default_format


def _success(query: Query, answer: Answer) -> web.Response:
    summary = {"read_rows": str(answer.read_rows), "written_rows": str(answer.written_rows), "elapsed_ns": "0"}
    headers = {
        "X-ClickHouse-Query-Id": query.query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "streamgauge",
        "X-ClickHouse-Summary": orjson.dumps(summary).decode(),
        "Content-Type": "text/plain; charset=UTF-8",
    }
    if answer.body:
        headers["X-ClickHouse-Format"] = _format(query)
        if headers["X-ClickHouse-Format"].startswith("JSON"):
            headers["Content-Type"] = "application/json; charset=UTF-8"
    return web.Response(body=answer.body, headers=headers)


def _failure(code: int, message: str) -> web.Response:
    log.info("query failed: code %d", code)
    if not message.startswith("Code: "):
        message = f"Code: {code}. DB::Exception: {message}"
    return web.Response(
        status=_STATUS.get(code, 500), text=f"{message}\n", headers={"X-ClickHouse-Exception-Code": str(code)}
    )
