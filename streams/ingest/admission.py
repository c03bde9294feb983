"""Admission of requests: authenticate, check quotas and reserve in-flight bytes before the body is parsed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from schemas.errors import RequestError
from schemas.setting_sections import IngestSettings
from streams.ingest.api_keys import ANONYMOUS, ApiKeyIdentity, ApiKeyStore
from streams.ingest.connections import ConnectionLimiter
from streams.ingest.fair_turns import Turn, Turns
from streams.ingest.in_flight_budget import SHARES, InFlightBudget, Reservation
from streams.ingest.quota import Quotas
from streams.ingest.request_body import check_length, decompressor_for, read_body
from streams.ingest.upload_rate import PacedReader
from streams.runtime.http_server import send_continue
from streams.runtime.metrics import INGEST_BYTES


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """An admitted request.

    Attributes
    ----------
    sender
        Identity of the API key.
    body
        Unpacked body.
    reservation
        Reserved in-flight bytes.
    turn
        Turn of the sender, which serialises work on the bodies of one sender.
    """

    sender: ApiKeyIdentity
    body: bytes
    reservation: Reservation
    turn: Turn


class Admission:
    """Admission control of the ingest service.

    A request is rejected as early as possible. Requests without a valid key, above the quota of the sender, above its
    number of requests or above its share of the in-flight bytes are rejected before their bodies are read and before
    ``Expect: 100-continue`` is answered.

    Parameters
    ----------
    settings
        Settings of the ingest service.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self.keys = ApiKeyStore(settings.keys_file)
        self.quotas = Quotas()
        self.budget = InFlightBudget(settings.in_flight_bytes)
        self.connections = ConnectionLimiter(settings.connections, settings.read_timeout_s)
        self._turns = Turns(settings.requests_per_key)
        self._body_bytes = min(settings.body_bytes, settings.in_flight_bytes // SHARES)
        self._settings = settings

    @asynccontextmanager
    async def receive(self, request: web.Request, *content_types: str) -> AsyncIterator[AdmittedRequest]:
        """Authenticate a request, read its body and release its reservation at the end of the context."""
        sender = self._authenticate(request)
        holder = sender.name if sender is not ANONYMOUS else f"address {request.remote}"
        self.connections.assign(request.protocol, holder)
        turn = self._turns.enter(holder)
        reservation = Reservation(self.budget, holder)
        try:
            self.quotas.check(sender, 0, turn.requests - 1)
            _check_type(request, content_types)
            decompressor = decompressor_for(request)
            check_length(request, reservation, self._body_bytes)
            await send_continue(request)
            body = await read_body(self._reader(request), decompressor, reservation, turn, self._body_bytes)
            INGEST_BYTES.labels(request.path).inc(len(body))
            yield AdmittedRequest(sender, body, reservation, turn)
        finally:
            reservation.release()
            self._turns.leave(holder)

    def _reader(self, request: web.Request) -> PacedReader:
        settings = self._settings
        return PacedReader(request.content, settings.body_bytes_per_s, settings.body_stall_s, settings.read_timeout_s)

    def _authenticate(self, request: web.Request) -> ApiKeyIdentity:
        sender = self.keys.find(_key(request))
        if sender is None:
            remedy = (
                "send `Authorization: Bearer KEY` or `x-api-key: KEY`; create keys with `streamgauge ingest-key create`"
            )
            raise RequestError(f"API key: missing or unknown; {remedy}", 401, "key")
        return sender


def _check_type(request: web.Request, content_types: tuple[str, ...]) -> None:
    if request.content_type not in content_types or "Content-Type" not in request.headers:
        raise RequestError(f"Content-Type: not supported; send {' or '.join(content_types)}", 415, "content type")


def _key(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
