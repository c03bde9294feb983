"""What every request passes before its body means anything: who sends, how much, from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from schemas.errors import RequestError
from schemas.settings import Ingest
from streams.gateway.body import read_body
from streams.gateway.keys import KeyRing, Sender
from streams.gateway.quota import Quotas
from streams.gateway.room import Lease, Room
from streams.metrics import INGEST_BYTES


@dataclass(frozen=True, slots=True)
class Received:
    """A body, whose it is, and the room that it takes."""

    sender: Sender
    body: bytes
    lease: Lease


class Door:
    """Lets requests in.

    Parameters
    ----------
    settings
        Of the gateway.
    """

    def __init__(self, settings: Ingest) -> None:
        self.keys = KeyRing(settings.keys_file)
        self.quotas = Quotas()
        self.room = Room(settings.in_flight_bytes)
        self._settings = settings

    @asynccontextmanager
    async def receive(self, request: web.Request, *content_types: str) -> AsyncIterator[Received]:
        """Give the body of a request of these types by a known sender; its room is given back behind it."""
        sender = self._sender(request)
        self.quotas.charge(sender, 0, 0)  # one that is in debt need not send its body
        if request.content_type not in content_types or "Content-Type" not in request.headers:
            wanted = " or ".join(content_types)
            raise RequestError(f"Content-Type: {request.content_type[:80]}: send {wanted}", 415, "content type")
        with Lease(self.room) as lease:
            body = await read_body(request, lease, self._settings.body_bytes, self._settings.read_timeout_s)
            INGEST_BYTES.labels(request.path).inc(len(body))
            yield Received(sender, body, lease)

    def _sender(self, request: web.Request) -> Sender:
        sender = self.keys.find(_key(request))
        if sender is None:
            remedy = "send `Authorization: Bearer KEY` or `x-api-key: KEY`; `streamgauge ingest-key create` makes one"
            raise RequestError(f"API key: none, or not one that is known; {remedy}", 401, "key")
        return sender


def _key(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
