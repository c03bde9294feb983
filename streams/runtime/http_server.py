"""An HTTP server that neither logs nor returns the text of a request, and that knows its connections.

aiohttp logs a request that it cannot parse with the offending line, and returns the line to the sender. An API key in a
malformed ``Authorization`` header reached the log that way. It also logs exceptions of handlers with their messages,
which quote payloads.
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

_HEADERS_MAX = 64
_READ_BYTES = 32 << 10
"""Bytes of a body that are read ahead of its handler, twice over, on each connection: nothing accounts for them."""


class Watcher(Protocol):
    """Follows the connections of a server."""

    def opened(self, connection: web.RequestHandler) -> None:
        """Take note of a connection; it has sent nothing yet."""

    def closed(self, connection: web.RequestHandler) -> None:
        """Take note of its end."""


class Runner(web.AppRunner):
    """Run an application on the server of this module.

    Parameters
    ----------
    app
        The application.
    watcher
        Follows the connections; None: nobody does.
    options
        Of `aiohttp.web.AppRunner`.
    """

    def __init__(self, app: web.Application, watcher: Watcher | None = None, **options: Any) -> None:
        super().__init__(app, access_log=None, max_headers=_HEADERS_MAX, read_bufsize=_READ_BYTES, **options)
        self._watcher = watcher

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, self._watcher, self._kwargs)


class _Server(web.Server):
    def __init__(self, made: web.Server, watcher: Watcher | None, options: dict[str, Any]) -> None:
        super().__init__(self._expected, request_factory=made.request_factory)
        self._handle = made.request_handler
        self._watcher = watcher
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)

    async def _expected(self, request: web.BaseRequest) -> web.StreamResponse:
        """Refuse an ``Expect`` that is not known; aiohttp would return its text."""
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return web.Response(status=HTTPStatus.EXPECTATION_FAILED)
        return await self._handle(request)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._watcher is not None:
            self._watcher.opened(handler)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if self._watcher is not None:
            self._watcher.closed(handler)


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or what a handler failed at, by the status alone."""
        if isinstance(exc, LineTooLong):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        HTTP_ERRORS.labels(str(int(status))).inc()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception(exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        response = web.Response(status=status, text=f"{int(status)}: {HTTPStatus(status).phrase}\n")
        response.force_close()
        return response

    def log_exception(self, *_: Any, exc_info: BaseException | None = None, **__: Any) -> None:
        """Log the type of an exception and where it was raised; its message may quote the request."""
        log.error("a request failed: %s", describe(exc_info))


async def expect_nothing(_: web.Request) -> None:
    """Leave ``Expect: 100-continue`` to the handler: it may refuse the request before its body is sent."""


async def send_continue(request: web.Request) -> None:
    """Ask for the body where the sender waits to be asked."""
    if request.version >= (1, 1) and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # else aiohttp takes it for a part of the answer
