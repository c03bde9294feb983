"""Delivery to the monitor's gateway over HTTP: gzipped NDJSON, acknowledged by 202."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - connecting imports it: a child forked in the middle would never connect
import gzip
import http.client
import logging
import ssl
import time
from collections import deque
from urllib.parse import urlsplit

from streamgauge.logs import seldom
from streamgauge.settings import Settings
from streamgauge.transports.answers import Verdict, judge
from streamgauge.transports.backoff import Backoff
from streamgauge.transports.base import Record, Settle

BODY_RECORDS = 500
BODY_BYTES = 1 << 20
SOCKET_TIMEOUT_S = 10.0
TOPICS = ("events", "feedback")


class HttpTransport:
    """One keep-alive connection; one request at a time."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        url = urlsplit(settings.url)
        self._host = url.netloc.rpartition("@")[2]
        self._path = url.path.rstrip("/")
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        if settings.api_key:
            self._headers["Authorization"] = f"Bearer {settings.api_key}"
        self._expires_s = settings.delivery_timeout_s
        self._pending: dict[str, deque[tuple[float, Record]]] = {topic: deque() for topic in TOPICS}
        self._most = BODY_RECORDS
        self._backoff = Backoff()
        self._connection: http.client.HTTPConnection | None = None

    def send(self, record: Record) -> None:
        """Keep it for the next request."""
        self._pending[record.topic].append((time.monotonic(), record))

    def poll(self) -> None:
        """Make one request per topic, unless we wait before trying again."""
        self._expire()
        for topic in TOPICS:
            if self._pending[topic] and self._backoff.over():
                self._post(topic)

    def close(self) -> None:
        """Give up what is left."""
        for waiting in self._pending.values():
            while waiting:
                self._give_up(waiting.popleft()[1], "closed")
        self._disconnect()

    def _expire(self) -> None:
        oldest = time.monotonic() - self._expires_s
        for waiting in self._pending.values():
            while waiting and waiting[0][0] < oldest:
                self._give_up(waiting.popleft()[1], "timed_out")

    def _give_up(self, record: Record, reason: str) -> None:
        self._settle(record.batch, len(record.value), reason)

    def _post(self, topic: str) -> None:
        taken = self._take(self._pending[topic])
        verdict = self._request(topic, [record for _, record in taken])
        if verdict.retry:
            self._pending[topic].extendleft(reversed(taken))
            self._backoff.failed(verdict.wait_s)
        elif verdict.too_large and len(taken) > 1:
            self._pending[topic].extendleft(reversed(taken))
            self._most = max(1, len(taken) // 2)
        else:
            self._backoff.succeeded()
            self._most = BODY_RECORDS
            for at, (_, record) in enumerate(taken):
                self._settle(record.batch, len(record.value), verdict.failure(at))

    def _take(self, waiting: deque[tuple[float, Record]]) -> list[tuple[float, Record]]:
        taken = [waiting.popleft()]
        size = len(taken[0][1].value)
        while waiting and len(taken) < self._most and size + len(waiting[0][1].value) <= BODY_BYTES:
            taken.append(waiting.popleft())
            size += len(taken[-1][1].value)
        return taken

    def _request(self, topic: str, records: list[Record]) -> Verdict:
        # The zlib calls give up the GIL: the host's threads go on.
        body = gzip.compress(b"\n".join([record.value for record in records]), 1)
        try:
            status, retry_after, answer = self._exchange(f"{self._path}/v1/{topic}", body)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            seldom("http.connection", logging.WARNING, "%s: %s; events wait in the queue", self._host, error)
            return Verdict(retry=True)
        verdict = judge(status, retry_after, answer)
        if verdict.complaint:
            seldom(f"http.{status}", logging.WARNING, "%s/v1/%s: %s", self._host, topic, verdict.complaint)
        return verdict

    def _exchange(self, path: str, body: bytes) -> tuple[int, str | None, bytes]:
        reused = self._connection is not None
        try:
            return self._try(path, body)
        except (ConnectionError, http.client.HTTPException):
            if not reused:
                raise
        self._disconnect()  # the gateway had closed the idle connection; a new one is no retry
        return self._try(path, body)

    def _try(self, path: str, body: bytes) -> tuple[int, str | None, bytes]:
        connection = self._connect()
        connection.request("POST", path, body, self._headers)
        response = connection.getresponse()
        answer = response.read(1 << 20)
        if response.will_close:
            self._disconnect()
        return response.status, response.getheader("Retry-After"), answer

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
    """Return the transport."""
    return HttpTransport(settings, settle)
