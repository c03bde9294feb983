from __future__ import annotations

import base64
import tracemalloc
from typing import Any

import orjson
import pytest

from schemas.errors import ContractError, RecordError
from schemas.outputs import DeadLetter
from streams.ingest.api_keys import ANONYMOUS, Sender
from streams.ingest.validation import row, take

GOOD: dict[str, Any] = {
    "event_id": "e",
    "call_id": "c",
    "time": "2026-01-01T00:00:00Z",
    "tenant": "clinic",
    "app": "triage",
}
CLINIC = Sender("k", "clinic", frozenset({"triage", "intake"}))


def raw(**change: Any) -> bytes:
    return orjson.dumps({k: v for k, v in (GOOD | change).items() if v is not None})


def test_an_event_goes_on_as_it_was_sent_under_its_key() -> None:
    sent = b'{ "novel" : 1.50, ' + raw()[1:]
    assert row(sent, ANONYMOUS) == (b"clinic/triage", sent)
    assert row(raw(conversation_id="c-9"), ANONYMOUS)[0] == b"c-9"


def test_a_tenant_that_is_left_out_is_the_keys() -> None:
    key, value = row(raw(tenant=None, tags={"tenant": "x"}), CLINIC)
    assert (key, orjson.loads(value)["tenant"]) == (b"clinic/triage", "clinic")
    assert orjson.loads(value) == GOOD | {"tags": {"tenant": "x"}}


@pytest.mark.parametrize(("change", "field"), [({"tenant": "bank"}, "tenant"), ({"app": "advisor"}, "app")])
def test_what_a_key_may_not_send_is_refused_with_the_remedy(change: dict[str, str], field: str) -> None:
    with pytest.raises(ContractError) as raised:
        row(raw(**change), CLINIC)
    assert (raised.value.field, raised.value.code) == (field, "not_permitted")


@pytest.mark.parametrize("tenant", ["", 7])
def test_a_tenant_is_filled_in_only_where_it_is_missing(tenant: Any) -> None:
    with pytest.raises(ContractError) as raised:
        row(raw(tenant=tenant), CLINIC)
    assert raised.value.field == "tenant"


@pytest.mark.parametrize("sent", [b"{}", b" { } ", b'{"environment": "x"}'])
def test_what_is_missing_beside_the_tenant_is_named_without_it(sent: bytes) -> None:
    with pytest.raises(ContractError) as raised:
        row(sent, CLINIC)
    assert raised.value.missing == {"event_id", "call_id", "time", "app"}
    assert "tenant" not in str(raised.value)
    with pytest.raises(ContractError) as raised:
        row(sent, ANONYMOUS)
    assert "tenant" in raised.value.missing


@pytest.mark.parametrize(
    "said",
    [
        b"[" * 4_000_000,
        b"[" + b"[]," * 3_000_000 + b"1]",
        b"[" + b"1," * 5_000_000 + b"1]",
        b"[" + b'{"a":1},' * 999_999,
    ],
)
def test_an_event_made_to_be_large_in_memory_is_not(said: bytes) -> None:
    sent = raw()[:-1] + b',"novel":' + said + b"}"
    tracemalloc.start()
    try:
        with pytest.raises(RecordError):
            row(sent, ANONYMOUS)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


async def test_each_item_is_judged_by_itself() -> None:
    items = [raw(event_id=f"e{i}") if i % 3 else b'{"event_id": 7}' for i in range(500)]
    taken = await take(items, ANONYMOUS)
    assert [orjson.loads(value)["event_id"] for _, value in taken.rows] == [f"e{i}" for i in range(500) if i % 3]
    told = taken.told()
    assert (told["accepted"], told["rejected"]) == (333, 167)
    assert [p["index"] for p in told["problems"]] == list(range(0, 500, 3))
    assert {(p["reason"], p["field"]) for p in told["problems"]} == {("contract", "event_id")}


async def test_a_letter_sent_again_is_the_same_letter() -> None:
    first = (await take([b"x", raw()], ANONYMOUS)).letters(ANONYMOUS, "/v1/events")
    again = (await take([raw(), b"x"], ANONYMOUS)).letters(ANONYMOUS, "/v1/events")
    (one,), (two,) = ([orjson.loads(value) for _, value in letters] for letters in (first, again))
    assert one["dead_letter_id"] == two["dead_letter_id"]
    assert DeadLetter.model_validate(one).raw == base64.b64encode(b"x").decode()
    assert (one["source_topic"], one["source_offset"], one["key"]) == ("http/v1/events", 0, "anonymous")


async def test_a_label_is_a_label_and_no_event() -> None:
    label = {"feedback_id": "f", "call_id": "c", "time": GOOD["time"], "tenant": "clinic", "app": "triage"}
    sent = orjson.dumps(label | {"signal": "injection", "label": True})
    assert (await take([sent], ANONYMOUS, feedback=True)).rows == [(b"clinic/triage", sent)]
    assert (await take([raw()], ANONYMOUS, feedback=True)).rows == []
    assert (await take([sent], ANONYMOUS)).rows == []
