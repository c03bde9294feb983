"""What every request passes before its body means anything: who sends, how much, from where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from schemas.errors import RequestError
from schemas.setting_sections import IngestSettings
from streams.ingest.api_keys import ANONYMOUS, KeyRing, Sender
from streams.ingest.connections import Connections
from streams.ingest.fair_turns import Turn, Turns
from streams.ingest.in_flight_budget import SHARES, Lease, Room
from streams.ingest.quota import Quotas
from streams.ingest.request_body import check_length, read_body, unpacker_of
from streams.ingest.upload_rate import Pace
from streams.runtime.http_server import send_continue
from streams.runtime.metrics import INGEST_BYTES


@dataclass(frozen=True, slots=True)
class Received:
    """A body, whose it is, the room that it takes, and the turn of its sender, without which nobody works on it."""

    sender: Sender
    body: bytes
    lease: Lease
    turn: Turn


class Door:
    """Lets requests in.

    A request is refused as early as it can be: without a valid key, beyond the sender's quota, its number of requests
    or its share of the memory, before its body is read and before ``Expect: 100-continue`` is answered.

    Parameters
    ----------
    settings
        Of the gateway.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self.keys = KeyRing(settings.keys_file)
        self.quotas = Quotas()
        self.room = Room(settings.in_flight_bytes)
        self.connections = Connections(settings.connections, settings.read_timeout_s)
        self._turns = Turns(settings.requests_per_key)
        self._body_bytes = min(settings.body_bytes, settings.in_flight_bytes // SHARES)
        self._settings = settings

    @asynccontextmanager
    async def receive(self, request: web.Request, *content_types: str) -> AsyncIterator[Received]:
        """Give the body of a request of these types by a known sender; its room is given back behind it."""
        sender = self._sender(request)
        holder = sender.name if sender is not ANONYMOUS else f"address {request.remote}"
        self.connections.belongs(request.protocol, holder)
        turn = self._turns.enter(holder)
        lease = Lease(self.room, holder)
        try:
            self.quotas.check(sender, 0, turn.requests - 1)
            _check_type(request, content_types)
            unpacker = unpacker_of(request)
            check_length(request, lease, self._body_bytes)
            await send_continue(request)
            body = await read_body(self._pace(request), unpacker, lease, turn, self._body_bytes)
            INGEST_BYTES.labels(request.path).inc(len(body))
            yield Received(sender, body, lease, turn)
        finally:
            lease.release()
            self._turns.leave(holder)

    def _pace(self, request: web.Request) -> Pace:
        own = self._settings
        return Pace(request.content, own.body_bytes_per_s, own.body_stall_s, own.read_timeout_s)

    def _sender(self, request: web.Request) -> Sender:
        sender = self.keys.find(_key(request))
        if sender is None:
            remedy = "send `Authorization: Bearer KEY` or `x-api-key: KEY`; `streamgauge ingest-key create` makes one"
            raise RequestError(f"API key: none, or not one that is known; {remedy}", 401, "key")
        return sender


def _check_type(request: web.Request, content_types: tuple[str, ...]) -> None:
    if request.content_type not in content_types or "Content-Type" not in request.headers:
        raise RequestError(f"Content-Type: send {' or '.join(content_types)}", 415, "content type")


def _key(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
