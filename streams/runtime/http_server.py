"""HTTP server that never logs or returns request text and reports its connections to a listener.

aiohttp logs the offending line of a malformed request and returns the line to the client. An API key in a malformed
``Authorization`` header reached the log this way. aiohttp also logs exceptions of handlers with their messages, which
quote payloads.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from streams.runtime.logs import describe
from streams.runtime.metrics import HTTP_ERRORS

log = logging.getLogger(__name__)

_MAX_HEADERS = 64
_READ_BYTES = 32 << 10
"""Read-ahead of a body, twice this size per connection; no budget accounts for these bytes, so they are few."""


class ConnectionListener(Protocol):
    """Listener for opened and closed connections of a server."""

    def opened(self, connection: web.RequestHandler) -> None:
        """Handle a new connection, before its first request."""

    def closed(self, connection: web.RequestHandler) -> None:
        """Handle a closed connection."""


class Runner(web.AppRunner):
    """Application runner that uses the server of this module.

    Parameters
    ----------
    app
        The application.
    listener
        Listener for connections, or None.
    options
        Options of `aiohttp.web.AppRunner`.
    """

    def __init__(self, app: web.Application, listener: ConnectionListener | None = None, **options: Any) -> None:
        super().__init__(app, access_log=None, max_headers=_MAX_HEADERS, read_bufsize=_READ_BYTES, **options)
        self._listener = listener

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(server, self._listener, self._kwargs)


class _Server(web.Server):
    def __init__(self, server: web.Server, listener: ConnectionListener | None, options: dict[str, Any]) -> None:
        super().__init__(self._handle_expect, request_factory=server.request_factory)
        self._handle = server.request_handler
        self._listener = listener
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)

    async def _handle_expect(self, request: web.BaseRequest) -> web.StreamResponse:
        """Refuse an unknown ``Expect`` header without its text, which aiohttp would return."""
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return web.Response(status=HTTPStatus.EXPECTATION_FAILED)
        return await self._handle(request)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._listener is not None:
            self._listener.opened(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if self._listener is not None:
            self._listener.closed(handler)


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Respond to a malformed request or a failed handler with the status alone."""
        if isinstance(exc, LineTooLong):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        HTTP_ERRORS.labels(str(int(status))).inc()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception(exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("response already started; the connection is closed")
        response = web.Response(status=status, text=f"{int(status)}: {HTTPStatus(status).phrase}\n")
        response.force_close()
        return response

    def log_exception(self, *_: Any, exc_info: BaseException | None = None, **__: Any) -> None:
        """Log the type of an exception and where it was raised; its message may quote the request."""
        log.error("request failed: %s", describe(exc_info))


async def expect_nothing(_: web.Request) -> None:
    """Leave ``Expect: 100-continue`` to the handler, which may refuse the request before the client sends the body."""


async def send_continue(request: web.Request) -> None:
    """Send ``100 Continue`` if the client waits for it before sending the body."""
    if request.version >= (1, 1) and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # otherwise aiohttp counts it as part of the response
