"""The simulated traffic: the same every time, valid, and what its truth says of it."""

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
from tools.simulator.malformed import KINDS, spoil
from tools.simulator.sample_texts import INJECTION_MARKER, attacks, rows, whois

BEGIN = datetime(2026, 1, 1, 9, tzinfo=UTC)
SAMPLES = Path("tools/simulator/samples")


@cache
def traffic() -> Traffic:
    return simulate(BEGIN, calls=6_000)


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


def test_the_same_seed_and_begin_give_the_same_bytes() -> None:
    assert simulate(BEGIN, seed=3, calls=500).records == simulate(BEGIN, seed=3, calls=500).records
    assert simulate(BEGIN, seed=3, calls=500).records != simulate(BEGIN, seed=4, calls=500).records


def test_records_come_in_the_order_of_their_times_and_within_the_hour_and_what_follows_it() -> None:
    times = [record.at_ms for record in traffic().records]
    assert times == sorted(times)
    assert times[0] - BEGIN.timestamp() * 1000 >= 0
    assert times[-1] - BEGIN.timestamp() * 1000 < 3_600_000 + 90_000


def test_all_but_the_malformed_records_are_valid() -> None:
    assert sum(item is None for item in items()) == traffic().truth.kinds["malformed"] > 0


@pytest.mark.parametrize("kind", range(KINDS))
def test_each_kind_of_malformed_record_is_refused(kind: int) -> None:
    raw = next(r.value for r in traffic().records if isinstance(decoded(r), LLMEvent))
    assert raw is not None
    with pytest.raises(RecordError):
        decode_event(spoil(orjson.loads(raw), kind))


def test_the_truth_counts_what_was_generated() -> None:
    truth = traffic().truth
    kinds = Counter("malformed" if item is None else item.kind for item in items())
    assert kinds == truth.kinds
    assert kinds["request"] == kinds["response"] > 0
    assert {call.event_id for call in calls()} == truth.ids
    assert len(calls()) == truth.calls == 6_000
    for name, app in truth.apps.items():
        own = [call for call in calls() if call.app == name]
        usages = [call.usage for call in own if call.usage is not None]
        assert len(own) == app.calls
        assert sum(call.error is not None for call in own) == app.errors
        assert sum(u.input_tokens for u in usages) == app.input_tokens
        assert sum(u.output_tokens for u in usages) == app.output_tokens
        assert sum(round((call.cost_usd or 0) * 1e9) for call in own) == app.cost_nanousd


def test_incidents_touch_calls_of_their_app_between_their_begin_and_end() -> None:
    by_id = {call.event_id: call for call in calls()}
    truth = traffic().truth
    assert [i.kind for i in truth.incidents] == ["injection", "hallucination", "regression", "topic"]
    for incident in truth.incidents:
        touched = [by_id[name] for name in incident.affected]
        assert {(call.tenant, call.app) for call in touched} == {(incident.tenant, incident.app)}
        times = [round(call.time.timestamp() * 1000) for call in touched]
        assert (min(times), max(times)) == (incident.begin_ms, incident.end_ms)
        assert truth.apps[incident.app].between(0, incident.begin_ms - 1) == incident.begin_index


def test_agents_have_seen_enough_of_an_app_before_its_first_incident() -> None:
    first: dict[str, int] = {}
    for incident in simulate(BEGIN).truth.incidents:
        first.setdefault(incident.app, incident.begin_index)
    assert min(first.values()) > 400  # what the rate of flags needs; drift needs 300


def test_attacks_are_in_the_campaign_only_and_from_sources_that_no_weights_were_trained_on() -> None:
    held_out = set(orjson.loads((SAMPLES / "held_out.json").read_bytes())["injection"])
    assert {row["src"] for name in ("attacks.jsonl", "whois.jsonl") for row in rows(name)} <= held_out
    campaign = traffic().truth.incidents[0].affected
    known = set(attacks())
    for call in calls():
        fields = [line for text in call.text("tool").split("\n") for line in [text]]
        attacked = not known.isdisjoint({call.messages[-1].content, call.text("user").split("\n\n\n")[-1]})
        hidden = any(attack in "\n".join(fields) for attack in known) if fields != [""] else False
        assert (attacked or hidden) == (call.event_id in campaign)


def test_whois_answers_have_room_for_an_attack() -> None:
    assert all(INJECTION_MARKER in text for text in whois())


def test_every_row_names_a_source_that_the_readme_attributes() -> None:
    readme = (SAMPLES / "README.md").read_text()
    for file in SAMPLES.glob("*.jsonl"):
        assert all(f"`{row['src']}`" in readme for row in rows(file.name))


def test_each_app_has_a_partition_of_its_own() -> None:
    partitions = {partition_of(app.key.encode(), PARTITIONS) for app in APPS}
    assert len(partitions) == len(APPS)
    keys = {record.key for record in traffic().records}
    assert keys == {app.key.encode() for app in APPS}
