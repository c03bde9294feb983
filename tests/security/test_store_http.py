"""The HTTP side of the embedded ClickHouse endpoint: who may ask, from where, and how much."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import pytest
import urllib3
import zstandard

from schemas.setting_sections import ClickHouseSettings
from streams.connectors.clickhouse.http_interface import OWNER, StoreServer
from tests.security.store_endpoint import OWNER_PASSWORD, READER_PASSWORD, Endpoint, endpoint

INSERT = "INSERT INTO streamgauge.events (event_id, received_at) VALUES ('forged', now())"
BOMB_BYTES = 1 << 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with endpoint(tmp_path_factory.mktemp("endpoint")) as running:
        yield running


def send(
    store: Endpoint, method: str, path: str = "", body: bytes = b"", headers: dict[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    """Send as the owner, who may do everything, with headers of the caller's."""
    basic = urllib3.make_headers(basic_auth=f"{OWNER}:{OWNER_PASSWORD}")
    return urllib3.request(method, store.url + path, body=body or None, headers=basic | (headers or {}), timeout=60)


def test_each_run_has_a_password_of_its_own(tmp_path: Path) -> None:
    accounts = [StoreServer(ClickHouseSettings(path=tmp_path)).accounts for _ in range(2)]
    assert [set(account) for account in accounts] == [{"streamgauge_reader"}] * 2
    passwords = {password for account in accounts for password in account.values()}
    assert len(passwords) == 2
    assert all(len(password) >= 24 for password in passwords)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("streamgauge_reader", "x"),
        ("default", "x"),
        ("nobody", "x"),
        ("", "x"),
        ("streamgauge_reader", OWNER_PASSWORD),
        ("é", "é"),
    ],
)
def test_a_wrong_password_asks_nothing(store: Endpoint, user: str, password: str) -> None:
    assert store.ask("SELECT 1", user, password).code == 516


def test_no_password_asks_nothing(store: Endpoint) -> None:
    for path in (
        "?query=SELECT+1",
        "?query=SELECT+1&user=streamgauge_reader",
        "?query=SELECT+1&user=streamgauge_reader&password=",
    ):
        found = urllib3.request("GET", store.url + path)
        assert (found.status, found.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
        assert "WWW-Authenticate" not in found.headers  # a browser would ask its user for the password, and keep it


def test_a_password_comes_by_any_way_that_clickhouse_knows(store: Endpoint) -> None:
    headers = {"X-ClickHouse-User": "streamgauge_reader", "X-ClickHouse-Key": READER_PASSWORD}
    url = f"{store.url}?query=SELECT+1"
    assert urllib3.request("GET", url, headers=headers).data == b"1\n"
    assert urllib3.request("GET", f"{url}&user=streamgauge_reader&password={READER_PASSWORD}").data == b"1\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "cross-site", "Content-Type": "text/plain"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:8123"},
        {"Host": "0.0.0.0"},
        {"Host": ""},
        {"Host": "[::ffff:1.2.3.4]"},
        {"Host": "[oops"},
    ],
)
def test_a_page_of_another_origin_triggers_nothing(store: Endpoint, headers: dict[str, str]) -> None:
    for method, path, body in (("GET", "?query=SELECT+1", ""), ("POST", "", INSERT), ("POST", "?query=SELECT+1", "")):
        found = send(store, method, path, body.encode(), headers=headers)
        assert found.status in {400, 403}
        assert found.data != b"1\n"
        assert "Access-Control-Allow-Origin" not in found.headers
    assert send(store, "OPTIONS", headers=headers).status >= 400
    assert store.ask("SELECT count() FROM events WHERE event_id = 'forged'").text == "0\n"


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}, {"Host": "localhost:9"}]
)
def test_a_driver_is_served(store: Endpoint, headers: dict[str, str]) -> None:
    assert send(store, "GET", "?query=SELECT+1", headers=headers).data == b"1\n"


def test_without_such_headers_the_same_insert_works(store: Endpoint) -> None:
    assert send(store, "POST", body=INSERT.encode()).status == 200
    assert store.ask("SELECT count() FROM events WHERE event_id = 'forged'").text == "1\n"


def test_no_answer_is_taken_for_a_script(store: Endpoint) -> None:
    answers = [
        send(store, "GET", "?query=SELECT+1"),
        send(store, "GET", "?query=SELECT+nothing"),
        send(store, "GET", "ping"),
        send(store, "GET", "nowhere"),
        send(store, "PUT"),
        send(store, "GET", "?query=SELECT+1", headers={"Origin": "http://evil.example"}),
        urllib3.request("GET", store.url),
    ]
    assert {answer.headers["X-Content-Type-Options"] for answer in answers} == {"nosniff"}
    assert all(not re.search("script|html", answer.headers["Content-Type"]) for answer in answers)


def test_a_query_id_does_not_reach_the_headers_unless_it_fits(store: Endpoint) -> None:
    assert send(store, "GET", "?query=SELECT+1&query_id=abc-1").headers["X-ClickHouse-Query-Id"] == "abc-1"
    found = send(store, "GET", "?query=SELECT+1&query_id=a%0d%0aSet-Cookie:x")
    assert found.status == 200
    assert "Set-Cookie" not in found.headers


def bomb(encoding: str) -> bytes:
    """Return a gigabyte of spaces, packed."""
    block, blocks = b" " * (1 << 20), BOMB_BYTES >> 20
    if encoding == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        return b"".join([packer.compress(block) for _ in range(blocks)]) + packer.flush()
    if encoding == "deflate":
        deflate = zlib.compressobj(9)
        return b"".join([deflate.compress(block) for _ in range(blocks)]) + deflate.flush()
    if encoding == "zstd":
        writer = zstandard.ZstdCompressor(level=19).compressobj()
        return b"".join([writer.compress(block) for _ in range(blocks)]) + writer.flush()
    frame: bytes = lz4.frame.compress(block * 64)
    return frame * (blocks // 64)


def peak_bytes() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
@pytest.mark.parametrize("user", [OWNER, "streamgauge_reader"])
def test_a_bomb_stays_packed(store: Endpoint, encoding: str, user: str) -> None:
    password = OWNER_PASSWORD if user == OWNER else READER_PASSWORD
    packed = bomb(encoding)[: 200 << 10] if user != OWNER else bomb(encoding)
    headers = urllib3.make_headers(basic_auth=f"{user}:{password}") | {"Content-Encoding": encoding}
    store.ask("SELECT 1")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = peak_bytes()
    found = urllib3.request("POST", store.url, body=packed, headers=headers, timeout=60)
    assert found.status == 413
    # What an insert may hold, twice: as it is unpacked in parts and put together.
    assert peak_bytes() - before < (600 << 20 if user == OWNER else 50 << 20)
    assert store.ask("SELECT 1").text == "1\n"


def test_a_body_that_is_too_long_is_not_read(store: Endpoint) -> None:
    assert store.ask("SELECT 1 --" + " " * (300 << 10)).status == 413
    assert store.ask("SELECT 1", query="SELECT 1 /* " + "a" * (5 << 10) + "*/").status == 400  # two statements


def test_a_broken_or_unknown_encoding_is_an_error(store: Endpoint) -> None:
    for encoding, body in (("gzip", b"x"), ("zstd", b"x"), ("lz4", b"x"), ("br", b"SELECT 1"), ("gzip, gzip", b"x")):
        assert send(store, "POST", body=body, headers={"Content-Encoding": encoding}).status == 400


def test_a_large_result_ends_at_the_limit(store: Endpoint) -> None:
    assert store.ask("SELECT repeat('a', 1000000) FROM numbers(1100) SETTINGS max_result_bytes = 1000000").code == 396
    assert store.ask("SELECT 1 SETTINGS max_result_bytes = 2000000000").code == 452
