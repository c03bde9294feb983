"""The second version follows the first, cannot touch it, and dies alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from agents.base import AgentOutput, Chunk
from agents.drift import DriftAgent
from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.errors import SettingsError
from schemas.outputs import ShadowFinding
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from streams.shadow.config import Plan, plan_of
from streams.shadow.shadow import PART, Shadow
from tests.traffic import lines

RULES = """
rules:
  - {name: injection-attempt, type: event, metric: injection.score, threshold: 0.99, cooldown_s: 60}
  - {name: any-flag, type: event, metric: injection.flag, threshold: 0.5}
"""
DRIFT = "drift: {events_per_false_alarm: 100, reference_events: 50}"


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [Record(i, decode_event(raw), raw) for i, raw in enumerate(lines(1200))]


def planned(folder: Path, text: str) -> Plan:
    path = folder / "second.yaml"
    path.write_text(text)
    plan = plan_of(Settings.model_validate({"worker": {"shadow_file": path}}))
    assert plan is not None
    return plan


def shadow_of(pipeline: PartitionPipeline, plan: Plan) -> Shadow:
    return Shadow(pipeline.partition, plan, pipeline.alert_engine.rules)


def run(records: list[Record], plan: Plan, size: int = 256) -> tuple[list[Outputs], list[dict[str, Any]]]:
    """Judge with a shadow beside it."""
    pipeline = build_pipeline(
        0, plan.settings.model_copy(update={"alerts": Settings().alerts, "drift": Settings().drift})
    )
    shadow = shadow_of(pipeline, plan)
    outs, found = [], []
    for at in range(0, len(records), size):
        outs.append(pipeline.process(records[at : at + size]))
        found += shadow.follow(outs[-1].steps, outs[-1].alerts)
    assert shadow.running
    return outs, found


def rows(outs: list[Outputs]) -> bytes:
    """Return everything that outputs publish, as bytes."""
    made = [[o.scored, o.alerts, [w.row() for w in o.aggregates]] for o in outs]
    return orjson.dumps(made, default=bytes.hex, option=orjson.OPT_NON_STR_KEYS)


def alone(records: list[Record], size: int = 256) -> list[Outputs]:
    pipeline = build_pipeline(0, Settings())
    return [pipeline.process(records[at : at + size]) for at in range(0, len(records), size)]


@pytest.mark.parametrize("text", [RULES, DRIFT])
def test_the_first_versions_outputs_are_bit_equal_with_and_without_a_shadow(
    records: list[Record], tmp_path: Path, text: str
) -> None:
    outs, found = run(records, planned(tmp_path, text))
    assert found
    assert rows(outs) == rows(alone(records))


def test_the_shadows_alerts_are_those_of_a_pipeline_of_its_own(records: list[Record], tmp_path: Path) -> None:
    plan = planned(tmp_path, RULES)
    _, found = run(records, plan)
    own = build_pipeline(0, plan.settings)
    expected = [row for at in range(0, len(records), 256) for row in own.process(records[at : at + 256]).alerts]
    of_second = [f["alert"] for f in found if f["kind"] == "alert" and f["verdict"] != "vanished"]
    assert of_second == expected != []


def test_an_agent_of_its_own_says_what_it_would_in_a_pipeline_of_its_own(records: list[Record], tmp_path: Path) -> None:
    plan = planned(tmp_path, DRIFT)
    assert plan.second == {"drift"}
    _, found = run(records, plan)
    own = build_pipeline(0, plan.settings)
    expected = [row for at in range(0, len(records), 256) for row in own.process(records[at : at + 256]).alerts]
    assert [f["alert"] for f in found if f["kind"] == "alert" and f["verdict"] != "vanished"] == expected
    assert any(row["rule"] == "drift" for row in expected)


def test_findings_say_what_appeared_vanished_and_stayed_and_keep_their_contract(
    records: list[Record], tmp_path: Path
) -> None:
    outs, found = run(records, planned(tmp_path, RULES))
    verdicts = {(f["alert"]["rule"], f["verdict"]) for f in found}
    assert ("any-flag", "appeared") in verdicts
    vanished = [f["alert"] for f in found if f["verdict"] == "vanished"]
    of_second = [f["alert"] for f in found if f["verdict"] in {"same", "changed", "appeared"}]
    first = [row for o in outs for row in o.alerts]
    marks = {(r["alert_id"], r["state"]) for r in of_second}
    assert vanished == [r for r in first if (r["alert_id"], r["state"]) not in marks]
    for finding in found:
        assert ShadowFinding.model_validate(finding).shadow == "second"


def test_findings_do_not_depend_on_how_the_records_are_cut(records: list[Record], tmp_path: Path) -> None:
    plan = planned(tmp_path, DRIFT)

    def key(finding: dict[str, Any]) -> str:
        return str((finding["source_offset"], orjson.dumps(finding, option=orjson.OPT_SORT_KEYS)))

    _, whole = run(records, plan, 256)
    _, pieces = run(records, plan, 37)
    assert sorted(whole, key=key) == sorted(pieces, key=key)


def test_a_shadow_that_fails_ends_alone_and_is_counted(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, DRIFT)
    pipeline = build_pipeline(0, Settings())
    shadow = shadow_of(pipeline, plan)
    (second,) = shadow._agents

    def fails(chunk: Chunk) -> AgentOutput:
        raise RuntimeError("a defect of the second version")

    monkeypatch.setattr(second, "score", fails)
    before = REGISTRY.get_sample_value("streamgauge_shadow_errors_total", {"what": "judge"}) or 0
    outs = []
    for at in range(0, len(records), 256):
        outs.append(pipeline.process(records[at : at + 256]))
        assert shadow.follow(outs[-1].steps, outs[-1].alerts) == []
    assert not shadow.running
    assert REGISTRY.get_sample_value("streamgauge_shadow_errors_total", {"what": "judge"}) == before + 1
    assert REGISTRY.get_sample_value("streamgauge_shadow_running", {"partition": "0"}) == 0
    assert shadow.packed(shadow.state(), 0) == {}
    assert rows(outs) == rows(alone(records))


def test_a_shadow_that_cannot_be_built_ends_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path, DRIFT)
    pipeline = build_pipeline(0, Settings())

    def fails(self: object, config: object) -> None:
        raise OSError("weights are gone")

    monkeypatch.setattr(DriftAgent, "__init__", fails)
    shadow = shadow_of(pipeline, plan)
    assert not shadow.running
    shadow.restore(None, pipeline.alert_engine.state())
    assert shadow.follow([], []) == []


def test_a_state_that_cannot_be_packed_does_not_take_the_first_versions_snapshot_with_it(tmp_path: Path) -> None:
    shadow = shadow_of(build_pipeline(0, Settings()), planned(tmp_path, RULES))
    assert shadow.packed({"alerts": {"odd": object()}}, 7) == {}  # type: ignore[dict-item] # that is the point
    assert not shadow.running


@pytest.mark.parametrize("text", [RULES, DRIFT])
def test_it_continues_from_the_workers_snapshot_as_if_nothing_had_been(
    records: list[Record], tmp_path: Path, text: str
) -> None:
    plan = planned(tmp_path, text)
    _, expected = run(records, plan)
    pipeline = build_pipeline(0, Settings())
    shadow = shadow_of(pipeline, plan)
    found: list[dict[str, Any]] = []
    for at in range(0, len(records), 256):
        out = pipeline.process(records[at : at + 256])
        found += shadow.follow(out.steps, out.alerts)
        parts = shadow.packed(shadow.state(), pipeline.offset)
        kept = decode(encode(Snapshot(0, pipeline.offset, {}, parts))).parts[PART]
        shadow = shadow_of(pipeline, plan)
        shadow.restore(kept, pipeline.alert_engine.state())
    assert shadow.running
    assert found == expected


def test_the_state_of_another_plan_is_left_and_common_rules_take_over_what_is_at_hand(
    records: list[Record], tmp_path: Path
) -> None:
    pipeline = build_pipeline(0, Settings())
    firing: set[str] = set()
    for at in range(0, len(records), 64):
        pipeline.process(records[at : at + 64])
        firing = {a.rule for a in pipeline.alert_engine._firing.values()}
        if "injection-attempt" in firing:
            break
    assert "injection-attempt" in firing
    default = Path("schemas/default_rules.yaml").read_text()
    more = planned(tmp_path, default + "  - {name: any-flag, type: event, metric: injection.flag, threshold: 0.5}\n")
    shadow = shadow_of(pipeline, more)
    shadow.restore({"mark": "another", "snapshot": b""}, pipeline.alert_engine.state())
    assert shadow.running
    assert {a.rule for a in shadow._alerts._firing.values()} == firing
    changed = shadow_of(pipeline, planned(tmp_path, RULES))
    changed.restore(None, pipeline.alert_engine.state())
    assert not changed._alerts._firing


@pytest.mark.parametrize("text", ["kafka: {brokers: 'elsewhere:9092'}", "worker: {join_timeout_s: 5}"])
def test_a_shadow_may_not_have_other_events_than_the_first(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        planned(tmp_path, text)
    assert (raised.value.field, raised.value.code) == ("worker.shadow_file", "conflict")


def test_without_a_file_there_is_no_shadow() -> None:
    assert plan_of(Settings()) is None
