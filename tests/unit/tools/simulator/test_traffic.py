"""Simulated traffic: deterministic, valid, and equal to its ground truth."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import orjson
import pytest

from processing.join import Joiner
from schemas.errors import RecordError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.runtime.decode import FEEDBACK_HEADER, decode_event
from streams.runtime.partitioning import partition_of
from tools.demo.mock_broker import PARTITIONS
from tools.simulator import Record, Traffic, simulate
from tools.simulator.apps import APPS
from tools.simulator.malformed import KINDS, corrupt
from tools.simulator.sample_texts import INJECTION_MARKER, attacks, rows, whois

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
SAMPLES = Path("tools/simulator/samples")


@cache
def traffic() -> Traffic:
    return simulate(START, calls=6_000)


def decoded(record: Record) -> LLMEvent | Feedback | None:
    headers = [FEEDBACK_HEADER] if record.topic == "feedback" else []
    try:
        return decode_event(record.value, headers)
    except RecordError:
        return None


@cache
def items() -> list[LLMEvent | Feedback | None]:
    return [decoded(record) for record in traffic().records]


@cache
def calls() -> list[LLMEvent]:
    joiner = Joiner(10_000, 600_000)
    return [call for item in items() if isinstance(item, LLMEvent) for call in joiner.add(item)]


def test_equal_seeds_and_start_times_give_identical_bytes() -> None:
    assert simulate(START, seed=3, calls=500).records == simulate(START, seed=3, calls=500).records
    assert simulate(START, seed=3, calls=500).records != simulate(START, seed=4, calls=500).records


def test_records_are_ordered_by_time_and_end_within_90_s_after_the_hour() -> None:
    times = [record.at_ms for record in traffic().records]
    assert times == sorted(times)
    assert times[0] - START.timestamp() * 1000 >= 0
    assert times[-1] - START.timestamp() * 1000 < 3_600_000 + 90_000


def test_all_but_the_malformed_records_are_valid() -> None:
    assert sum(item is None for item in items()) == traffic().truth.kinds["malformed"] > 0


@pytest.mark.parametrize("kind", range(KINDS))
def test_each_kind_of_malformed_record_is_rejected(kind: int) -> None:
    raw = next(r.value for r in traffic().records if isinstance(decoded(r), LLMEvent))
    assert raw is not None
    with pytest.raises(RecordError):
        decode_event(corrupt(orjson.loads(raw), kind))


def test_the_ground_truth_equals_the_generated_traffic() -> None:
    truth = traffic().truth
    kinds = Counter("malformed" if item is None else item.kind for item in items())
    assert kinds == truth.kinds
    assert kinds["request"] == kinds["response"] > 0
    assert {call.event_id for call in calls()} == truth.ids
    assert len(calls()) == truth.calls == 6_000
    for name, app in truth.apps.items():
        calls_of_app = [call for call in calls() if call.app == name]
        usages = [call.usage for call in calls_of_app if call.usage is not None]
        assert len(calls_of_app) == app.calls
        assert sum(call.error is not None for call in calls_of_app) == app.errors
        assert sum(u.input_tokens for u in usages) == app.input_tokens
        assert sum(u.output_tokens for u in usages) == app.output_tokens
        assert sum(round((call.cost_usd or 0) * 1e9) for call in calls_of_app) == app.cost_nanousd


def test_incidents_affect_calls_of_their_app_between_start_and_end() -> None:
    by_id = {call.event_id: call for call in calls()}
    truth = traffic().truth
    assert [i.kind for i in truth.incidents] == ["injection", "hallucination", "regression", "topic"]
    for incident in truth.incidents:
        touched = [by_id[name] for name in incident.affected]
        assert {(call.tenant, call.app) for call in touched} == {(incident.tenant, incident.app)}
        times = [round(call.time.timestamp() * 1000) for call in touched]
        assert (min(times), max(times)) == (incident.start_ms, incident.end_ms)
        assert truth.apps[incident.app].between(0, incident.start_ms - 1) == incident.start_index


def test_agents_have_enough_calls_of_an_app_before_its_first_incident() -> None:
    first: dict[str, int] = {}
    for incident in simulate(START).truth.incidents:
        first.setdefault(incident.app, incident.start_index)
    assert min(first.values()) > 400  # the flag rate baseline needs 400 calls, drift needs 300


def test_attacks_are_in_the_campaign_only_and_from_held_out_sources() -> None:
    held_out = set(orjson.loads((SAMPLES / "held_out.json").read_bytes())["injection"])
    assert {row["src"] for name in ("attacks.jsonl", "whois.jsonl") for row in rows(name)} <= held_out
    campaign = traffic().truth.incidents[0].affected
    known = set(attacks())
    for call in calls():
        fields = [line for text in call.text("tool").split("\n") for line in [text]]
        attacked = not known.isdisjoint({call.messages[-1].content, call.text("user").split("\n\n\n")[-1]})
        hidden = any(attack in "\n".join(fields) for attack in known) if fields != [""] else False
        assert (attacked or hidden) == (call.event_id in campaign)


def test_whois_records_have_a_placeholder_for_an_attack() -> None:
    assert all(INJECTION_MARKER in text for text in whois())


def test_every_row_names_a_source_that_the_readme_attributes() -> None:
    readme = (SAMPLES / "README.md").read_text()
    for file in SAMPLES.glob("*.jsonl"):
        assert all(f"`{row['src']}`" in readme for row in rows(file.name))


def test_each_app_has_its_own_partition() -> None:
    partitions = {partition_of(app.key.encode(), PARTITIONS) for app in APPS}
    assert len(partitions) == len(APPS)
    keys = {record.key for record in traffic().records}
    assert keys == {app.key.encode() for app in APPS}
