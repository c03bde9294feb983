"""A record with very many problems costs no more than one with few; a number that the store cannot hold is refused."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from schemas.errors import ContractError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.ingest.api_keys import ANONYMOUS, ApiKeyIdentity
from streams.ingest.validation import validate_items, validated_row
from streams.runtime.decode import FEEDBACK_HEADER, decode_event
from streams.runtime.problems import MAX_PROBLEMS, list_problems
from streams.runtime.topics import create_topics
from tests.conftest import MakeSettings
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.security.processes import letters, scored
from tests.waiting import until

EVENT: dict[str, Any] = {"event_id": "e", "call_id": "c", "time": "2026-01-01T00:00:00Z", "tenant": "t", "app": "a"}
LONG = "n" * 257
MANY: dict[str, dict[str, Any]] = {
    "logprobs": {"choices": [{"logprobs": ["x"] * 199_000}]},
    "messages": {"messages": [0] * 199_000},
    "names": {"messages": [{"role": "user", "name": LONG}] * 14_000},
}
DIGITS = b"9" * 400


@pytest.mark.parametrize("tenant", [None, "t"])
@pytest.mark.parametrize("said", MANY.values(), ids=MANY)
def test_problems_without_number_are_not_listed(said: dict[str, Any], tenant: str | None) -> None:
    """Each listed problem costs about 1 kB of objects."""
    raw = orjson.dumps({k: v for k, v in (EVENT | said).items() if tenant or k != "tenant"})
    tracemalloc.start()
    try:
        with pytest.raises(ContractError):
            validated_row(raw, ApiKeyIdentity("k", "t", frozenset()))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_list_of_probabilities_is_one_problem() -> None:
    with pytest.raises(ValidationError) as raised:
        LLMEvent.model_validate(EVENT | MANY["logprobs"])
    assert raised.value.error_count() == 1


@pytest.mark.parametrize("over", [0, 1])
def test_at_most_so_many_problems_are_listed(over: int) -> None:
    with pytest.raises(ValidationError) as raised:
        LLMEvent.model_validate(EVENT | {"messages": [0] * (MAX_PROBLEMS + over)})
    if not over:
        assert len(list_problems(raised.value)) == MAX_PROBLEMS
        return
    with pytest.raises(ContractError) as refused:
        list_problems(raised.value)
    assert refused.value.code == "too_many_problems"
    assert str(MAX_PROBLEMS + 1) in str(refused.value)
    assert "LLMEvent" in str(refused.value)


def test_the_last_event_whose_identifiers_are_shortened_has_so_many() -> None:
    names = [{"role": "user", "name": LONG}] * (MAX_PROBLEMS - 2)
    raw = orjson.dumps(EVENT | {"conversation_id": LONG, "user_id": LONG, "messages": names})
    event = decode_event(raw)
    assert isinstance(event, LLMEvent)
    assert event.input_issues == ("identifier_shortened",)
    with pytest.raises(ContractError):
        decode_event(orjson.dumps(orjson.loads(raw) | {"call_id": LONG}))


@pytest.mark.parametrize(("count", "size"), [(12, 300_000), (1200, 10)])
async def test_others_get_their_turn_between_large_items_and_between_many(count: int, size: int) -> None:
    items = [orjson.dumps(EVENT | {"messages": [{"role": "user", "content": "x" * size}]})] * count
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert len((await validate_items(items, ANONYMOUS)).rows) == count
    task.cancel()
    assert turns >= min(count, 6) - 1


BEYOND = {
    "novel": b'"novel":%s',
    "parameters.stop.1": b'"parameters":{"stop":[1,%s]}',
    "usage.audio": b'"usage":{"audio":-%s}',
    "error.status": b'"error":{"type":"t","status":%s}',
    "choices.0.tool_calls.0.cost": b'"choices":[{"tool_calls":[{"name":"f","cost":%s}]}]',
}


@pytest.mark.parametrize(("field", "said"), BEYOND.items())
def test_an_integer_beyond_all_floats_is_refused_with_the_name_of_its_field(field: str, said: bytes) -> None:
    with pytest.raises(ContractError) as raised:
        decode_event(orjson.dumps(EVENT)[:-1] + b"," + said % DIGITS + b"}")
    assert raised.value.field == field
    held = decode_event(orjson.dumps(EVENT)[:-1] + b"," + said % DIGITS[:300] + b"}")
    assert isinstance(held, LLMEvent)


def test_a_label_with_such_an_integer_is_refused() -> None:
    label = EVENT | {"feedback_id": "f", "signal": "injection", "label": True}
    del label["event_id"]
    assert isinstance(decode_event(orjson.dumps(label), [FEEDBACK_HEADER]), Feedback)
    with pytest.raises(ContractError) as raised:
        decode_event(orjson.dumps(label)[:-1] + b',"novel":' + DIGITS + b"}", [FEEDBACK_HEADER])
    assert raised.value.field == "novel"


async def test_the_worker_dead_letters_such_an_event(kafka: KafkaBroker, settings: MakeSettings) -> None:
    tree = settings(kafka.brokers, kafka={"partitions": 1})
    await create_topics(tree.kafka)
    raws = [orjson.dumps(EVENT)[:-1] + b"," + said % DIGITS + b"}" for said in BEYOND.values()]
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers)
    await producer.start()
    async with judging(tree) as worker:
        for raw in [*raws, orjson.dumps(EVENT)]:
            await producer.send_and_wait(tree.kafka.topic("events"), raw, partition=0)
        await until(lambda: judged(worker) == len(raws) + 1)
    await producer.stop()
    found = await letters(tree)
    assert {x.source_topic for x in found} == {tree.kafka.topic("events")}
    assert [x.reason for x in found] == ["contract"] * len(raws)
    assert list(await scored(tree)) == ["e"]
