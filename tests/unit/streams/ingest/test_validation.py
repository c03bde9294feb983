from __future__ import annotations

import base64
import tracemalloc
from typing import Any

import orjson
import pytest

from schemas.errors import ContractError, RecordError
from schemas.outputs import DeadLetter
from streams.ingest.api_keys import ANONYMOUS, ApiKeyIdentity
from streams.ingest.validation import validate_items, validated_row

GOOD: dict[str, Any] = {
    "event_id": "e",
    "call_id": "c",
    "time": "2026-01-01T00:00:00Z",
    "tenant": "clinic",
    "app": "triage",
}
CLINIC = ApiKeyIdentity("k", "clinic", frozenset({"triage", "intake"}))


def raw(**change: Any) -> bytes:
    return orjson.dumps({k: v for k, v in (GOOD | change).items() if v is not None})


def test_a_valid_event_is_forwarded_unchanged_with_its_key() -> None:
    sent = b'{ "novel" : 1.50, ' + raw()[1:]
    assert validated_row(sent, ANONYMOUS) == (b"clinic/triage", sent)
    assert validated_row(raw(conversation_id="c-9"), ANONYMOUS)[0] == b"c-9"


def test_a_missing_tenant_is_set_from_the_key() -> None:
    key, value = validated_row(raw(tenant=None, tags={"tenant": "x"}), CLINIC)
    assert (key, orjson.loads(value)["tenant"]) == (b"clinic/triage", "clinic")
    assert orjson.loads(value) == GOOD | {"tags": {"tenant": "x"}}


@pytest.mark.parametrize(("change", "field"), [({"tenant": "bank"}, "tenant"), ({"app": "advisor"}, "app")])
def test_a_tenant_or_app_outside_the_key_is_rejected(change: dict[str, str], field: str) -> None:
    with pytest.raises(ContractError) as raised:
        validated_row(raw(**change), CLINIC)
    assert (raised.value.field, raised.value.code) == (field, "not_permitted")


@pytest.mark.parametrize("tenant", ["", 7])
def test_an_invalid_tenant_is_not_replaced(tenant: Any) -> None:
    with pytest.raises(ContractError) as raised:
        validated_row(raw(tenant=tenant), CLINIC)
    assert raised.value.field == "tenant"


@pytest.mark.parametrize("sent", [b"{}", b" { } ", b'{"environment": "x"}'])
def test_the_error_about_missing_fields_does_not_name_the_tenant(sent: bytes) -> None:
    with pytest.raises(ContractError) as raised:
        validated_row(sent, CLINIC)
    assert raised.value.missing == {"event_id", "call_id", "time", "app"}
    assert "tenant" not in str(raised.value)
    with pytest.raises(ContractError) as raised:
        validated_row(sent, ANONYMOUS)
    assert "tenant" in raised.value.missing


@pytest.mark.parametrize(
    "novel",
    [
        b"[" * 4_000_000,
        b"[" + b"[]," * 3_000_000 + b"1]",
        b"[" + b"1," * 5_000_000 + b"1]",
        b"[" + b'{"a":1},' * 999_999,
    ],
)
def test_a_crafted_event_stays_within_the_memory_limit(novel: bytes) -> None:
    sent = raw()[:-1] + b',"novel":' + novel + b"}"
    tracemalloc.start()
    try:
        with pytest.raises(RecordError):
            validated_row(sent, ANONYMOUS)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


async def test_each_item_is_validated_on_its_own() -> None:
    items = [raw(event_id=f"e{i}") if i % 3 else b'{"event_id": 7}' for i in range(500)]
    report = await validate_items(items, ANONYMOUS)
    assert [orjson.loads(value)["event_id"] for _, value in report.rows] == [f"e{i}" for i in range(500) if i % 3]
    response = report.response()
    assert (response["accepted"], response["rejected"]) == (333, 167)
    assert [p["index"] for p in response["problems"]] == list(range(0, 500, 3))
    assert {(p["reason"], p["field"]) for p in response["problems"]} == {("contract", "event_id")}


async def test_a_repeated_invalid_item_gives_the_same_dead_letter() -> None:
    first = (await validate_items([b"x", raw()], ANONYMOUS)).dead_letters(ANONYMOUS, "/v1/events")
    repeated = (await validate_items([raw(), b"x"], ANONYMOUS)).dead_letters(ANONYMOUS, "/v1/events")
    (one,), (two,) = ([orjson.loads(value) for _, value in letters] for letters in (first, repeated))
    assert one["dead_letter_id"] == two["dead_letter_id"]
    assert DeadLetter.model_validate(one).raw == base64.b64encode(b"x").decode()
    assert (one["source_topic"], one["source_offset"], one["key"]) == ("http/v1/events", 0, "anonymous")


async def test_labels_and_events_are_not_interchangeable() -> None:
    label = {"feedback_id": "f", "call_id": "c", "time": GOOD["time"], "tenant": "clinic", "app": "triage"}
    sent = orjson.dumps(label | {"signal": "injection", "label": True})
    assert (await validate_items([sent], ANONYMOUS, feedback=True)).rows == [(b"clinic/triage", sent)]
    assert (await validate_items([raw()], ANONYMOUS, feedback=True)).rows == []
    assert (await validate_items([sent], ANONYMOUS)).rows == []
