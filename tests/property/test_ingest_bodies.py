"""Any body is answered, or dead-lettered, with the reason (`fuzz_gateway` does so 100,000 times)."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.ingest import Answer, running
from tests.property.bodies import JSON, NDJSON, PROTOBUF, Request, request
from tests.property.fuzz_ingest import check, fuzz, settings, still_well
from tests.traffic import lines

Post = Callable[[Request], Answer]

GOOD = orjson.loads(lines(1)[0])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
EVENTS = st.dictionaries(st.sampled_from([*GOOD, "usage", "novel", "kind", "fragments"]), VALUES, max_size=5)
TYPES = st.sampled_from([NDJSON, JSON, PROTOBUF])
PATHS = st.sampled_from(["/v1/events", "/v1/feedback", "/v1/traces", "/v1/logs"])
MANY = examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def post(mock_kafka: str) -> Iterator[Post]:
    """Posts to one gateway, whose loop runs while it is asked."""
    with asyncio.Runner() as runner:
        opened = running(settings(mock_kafka))
        client = runner.run(opened.__aenter__())

        def post(made: Request) -> Answer:
            headers = {"content-encoding": made.encoding}
            return runner.run(client.post(made.path, made.body, made.content_type, **headers))

        yield post
        runner.run(still_well(client))
        runner.run(opened.__aexit__(None, None, None))


def test_the_bodies_of_a_number_are_the_same_each_time() -> None:
    assert [request(n) for n in range(200)] == [request(n) for n in range(200)]


async def test_mutated_bodies_are_answered_and_the_gateway_stays_well(mock_kafka: str) -> None:
    found = await fuzz(mock_kafka, range(2_000))
    assert sum(number for kind, number in found.items() if not kind.startswith("attack")) == 2_000
    assert sum(number for kind, number in found.items() if kind.startswith("attack")) >= 10
    for outcome in ("202", "202 in part", "400", "400 bad gzip", "400 too deep", "413 too large", "415 content type"):
        assert found[f"/v1/events {outcome}"], f"no body came to {outcome}: {found}"


@MANY
@given(st.binary(max_size=500), PATHS, TYPES, st.booleans())
def test_any_bytes_are_answered(post: Post, body: bytes, path: str, content_type: str, packed: bool) -> None:
    made = Request(path, gzip.compress(body), content_type, "gzip") if packed else Request(path, body, content_type)
    check(made, post(made))


@MANY
@given(st.lists(EVENTS, min_size=1, max_size=4), st.booleans())
def test_events_of_any_values_are_answered_each_by_its_index(
    post: Post, changes: list[dict[str, Any]], as_array: bool
) -> None:
    """``json`` writes what JSON has not (NaN) and numbers of any size; beside each stands an event that is good."""
    items = [item for change in changes for item in (json.dumps(GOOD), json.dumps(GOOD | change))]
    body = f"[{', '.join(items)}]" if as_array else "\n".join(items)
    made = Request("/v1/events", body.encode(), JSON if as_array else NDJSON)
    answer = post(made)
    check(made, answer)
    assert answer.json["accepted"] >= len(changes)
    assert answer.json["accepted"] + answer.json["rejected"] == len(items)
    assert all(problem["index"] % 2 == 1 for problem in answer.json["problems"])
