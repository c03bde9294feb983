"""Delivery to the ingest service over HTTP: gzipped NDJSON, acknowledged by 202."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - `connect` imports it; a child forked during that import never connects
import gzip
import http.client
import logging
import ssl
import time
from collections import deque
from urllib.parse import urlsplit

from streamgauge.logs import log_throttled
from streamgauge.settings import Settings
from streamgauge.transports.backoff import Backoff
from streamgauge.transports.base import Record, Settle
from streamgauge.transports.responses import DeliveryOutcome, classify_response

MAX_BODY_RECORDS = 500
MAX_BODY_BYTES = 1 << 20
SOCKET_TIMEOUT_S = 10.0
TOPICS = ("events", "feedback")


class HttpTransport:
    """Transport with one keep-alive connection and one request at a time."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        url = urlsplit(settings.url)
        self._host = url.netloc.rpartition("@")[2]
        self._path = url.path.rstrip("/")
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        if settings.api_key:
            self._headers["Authorization"] = f"Bearer {settings.api_key}"
        self._delivery_timeout_s = settings.delivery_timeout_s
        self._pending: dict[str, deque[tuple[float, Record]]] = {topic: deque() for topic in TOPICS}
        self._max_records = MAX_BODY_RECORDS
        self._backoff = Backoff()
        self._connection: http.client.HTTPConnection | None = None

    def send(self, record: Record) -> None:
        """Queue the record for the next request."""
        self._pending[record.topic].append((time.monotonic(), record))

    def poll(self) -> None:
        """Make one request per topic, unless the back-off is running."""
        self._expire()
        for topic in TOPICS:
            if self._pending[topic] and self._backoff.is_over():
                self._post(topic)

    def close(self) -> None:
        """Fail the remaining records and disconnect."""
        for waiting in self._pending.values():
            while waiting:
                self._fail(waiting.popleft()[1], "closed")
        self._disconnect()

    def _expire(self) -> None:
        oldest_allowed = time.monotonic() - self._delivery_timeout_s
        for waiting in self._pending.values():
            while waiting and waiting[0][0] < oldest_allowed:
                self._fail(waiting.popleft()[1], "timed_out")

    def _fail(self, record: Record, reason: str) -> None:
        self._settle(record.batch, len(record.value), reason)

    def _post(self, topic: str) -> None:
        batch = self._take_batch(self._pending[topic])
        outcome = self._request(topic, [record for _, record in batch])
        if outcome.retry:
            self._pending[topic].extendleft(reversed(batch))
            self._backoff.record_failure(outcome.wait_s)
        elif outcome.too_large and len(batch) > 1:
            self._pending[topic].extendleft(reversed(batch))
            self._max_records = max(1, len(batch) // 2)
        else:
            self._backoff.record_success()
            self._max_records = MAX_BODY_RECORDS
            for index, (_, record) in enumerate(batch):
                self._settle(record.batch, len(record.value), outcome.failure(index))

    def _take_batch(self, waiting: deque[tuple[float, Record]]) -> list[tuple[float, Record]]:
        batch = [waiting.popleft()]
        size = len(batch[0][1].value)
        while waiting and len(batch) < self._max_records and size + len(waiting[0][1].value) <= MAX_BODY_BYTES:
            batch.append(waiting.popleft())
            size += len(batch[-1][1].value)
        return batch

    def _request(self, topic: str, records: list[Record]) -> DeliveryOutcome:
        # zlib releases the GIL, so the host's threads continue.
        body = gzip.compress(b"\n".join([record.value for record in records]), 1)
        try:
            status, retry_after, response = self._exchange(f"{self._path}/v1/{topic}", body)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            log_throttled("http.connection", logging.WARNING, "%s: %s; events stay in the queue", self._host, error)
            return DeliveryOutcome(retry=True)
        outcome = classify_response(status, retry_after, response)
        if outcome.message:
            log_throttled(f"http.{status}", logging.WARNING, "%s/v1/%s: %s", self._host, topic, outcome.message)
        return outcome

    def _exchange(self, path: str, body: bytes) -> tuple[int, str | None, bytes]:
        reused = self._connection is not None
        try:
            return self._try(path, body)
        except (ConnectionError, http.client.HTTPException):
            if not reused:
                raise
        self._disconnect()  # the server had closed the idle connection; reconnecting is not a retry
        return self._try(path, body)

    def _try(self, path: str, body: bytes) -> tuple[int, str | None, bytes]:
        connection = self._connect()
        connection.request("POST", path, body, self._headers)
        response = connection.getresponse()
        body_read = response.read(1 << 20)
        if response.will_close:
            self._disconnect()
        return response.status, response.getheader("Retry-After"), body_read

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._tls is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=SOCKET_TIMEOUT_S)
            else:
                self._connection = http.client.HTTPSConnection(self._host, timeout=SOCKET_TIMEOUT_S, context=self._tls)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def make(settings: Settings, settle: Settle) -> HttpTransport:
    """Create the transport."""
    return HttpTransport(settings, settle)
