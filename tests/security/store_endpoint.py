"""The embedded ClickHouse endpoint with a reader and an owner, and what must not be read, written or called from it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import urllib3

from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.connectors.clickhouse.http_interface import OWNER, StoreServer
from streams.connectors.clickhouse.reader_role import READER

READER_PASSWORD, OWNER_PASSWORD = "r3ader", "0wner"
CANARY = "CANARY7F3A"


@dataclass(frozen=True)
class Answer:
    """What the endpoint said."""

    status: int
    code: int
    text: str


class Listener:
    """Accepts connections on loopback, counts them and answers each like an HTTP server with the canary."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            with peer:
                peer.settimeout(1)
                try:
                    peer.recv(65536)
                    peer.sendall(
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n" + CANARY.encode() + b"\n"
                    )
                except OSError:
                    continue


class Endpoint:
    """The running endpoint."""

    def __init__(self, server: StoreServer, folder: Path, listener: Listener) -> None:
        self.server, self.folder, self.listener = server, folder, listener
        self.url = f"http://127.0.0.1:{server.port}/"
        self.out = folder / "written"

    def fill(self, text: str) -> str:
        """Replace the placeholders of `store_attacks`."""
        values = {
            "secret": self.folder / "secret.csv",
            "out": self.out,
            "folder": self.folder,
            "port": self.listener.port,
        }
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def ask(self, sql: str, user: str = READER, password: str = "", **params: str) -> Answer:
        """POST a statement."""
        password = password or (OWNER_PASSWORD if user == OWNER else READER_PASSWORD)
        headers = urllib3.make_headers(basic_auth=f"{user}:{password}")
        found = urllib3.request(
            "POST", f"{self.url}?{urlencode(params)}", body=sql.encode(), headers=headers, timeout=90
        )
        code = int(found.headers.get("X-ClickHouse-Exception-Code", 0))
        return Answer(found.status, code, found.data.decode(errors="replace"))

    def written(self) -> list[Path]:
        """Return the files that were written where none may be, and remove them."""
        found = list(self.folder.glob("written*"))
        for path in found:
            path.unlink()
        return found


@contextmanager
def endpoint(folder: Path) -> Iterator[Endpoint]:
    """Serve a migrated store with ten events from a thread."""
    (folder / "secret.csv").write_text(f"{CANARY},b\n{CANARY},2\n")
    (folder / "resultset").write_text(f"${{data}}{CANARY}\n")
    (folder / "row").write_text("${x:Raw}\n")
    store = ClickHouseSettings(path=folder / "store")
    client = connect(store)
    migrate(client, Settings(clickhouse=store))
    client.command(
        "INSERT INTO streamgauge.events (event_id, app, tenant, time, received_at) "
        "SELECT concat('e', toString(number)), 'advisor', 'bank', now(), now() FROM numbers(10)"
    )
    server = StoreServer(store, port=0, accounts={READER: READER_PASSWORD, OWNER: OWNER_PASSWORD})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listener = Listener()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield Endpoint(server, folder, listener)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        listener.close()
        client.close()
