"""`streamgauge replay --diff`: alerts that appear, vanish or change."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.base import Chunk
from agents.injection import InjectionAgent
from agents.learning.weight_versions import to_file
from schemas.errors import SettingsError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.settings import Settings
from streams.runtime.registry import build_agents
from streams.runtime.settings_override import load_override
from tests.traffic import lines
from tools.diff import diff
from tools.diff.episodes import Episode, Episodes, changed_fields, match
from tools.replay import replay

ATTEMPT: dict[str, Any] = {"name": "attempt", "type": "event", "metric": "injection.score", "threshold": 0.9}
SLOW: dict[str, Any] = {
    "name": "slow", "type": "quantile", "metric": "latency_ms", "q": 0.9, "threshold": 900, "window_s": 20,
}  # fmt: skip


def rules(folder: Path, name: str, *entries: dict[str, Any]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"rules": list(entries)}))
    return path


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "events.jsonl"
    path.write_bytes(b"".join(raw + b"\n" for raw in lines(1500)))
    return path


def compared(history: Path, old: Path, new: Path) -> Any:
    base = Settings()
    return diff([history], load_override(old, base), load_override(new, base))


def test_a_version_does_not_differ_from_itself(history: Path, tmp_path: Path) -> None:
    path = rules(tmp_path, "old", ATTEMPT, SLOW)
    difference = compared(history, path, path)
    assert not difference
    assert difference.same["attempt"] > 0
    assert difference.same["slow"] > 0
    assert difference.records == 1500


def test_the_alerts_equal_those_of_a_replay_with_each_version(history: Path, tmp_path: Path) -> None:
    old = rules(tmp_path, "old", ATTEMPT)
    new = rules(tmp_path, "new", SLOW)
    difference = compared(history, old, new)
    for path, episodes in ((old, difference.vanished), (new, difference.appeared)):
        replay([history], tmp_path / path.stem, load_override(path, Settings()))
        rows = [json.loads(line) for line in (tmp_path / path.stem / "alerts.jsonl").read_text().splitlines()]
        assert {e.alert_id for e in episodes} == {row["alert_id"] for row in rows} != set()
        resolved = {row["alert_id"]: row["changed_at"] for row in rows if row["state"] == "resolved"}
        assert {e.alert_id: e.resolved_at for e in episodes if e.resolved_at} == resolved


def test_alerts_of_a_removed_rule_vanish(history: Path, tmp_path: Path) -> None:
    difference = compared(history, rules(tmp_path, "old", ATTEMPT, SLOW), rules(tmp_path, "new", ATTEMPT))
    assert {e.rule for e in difference.vanished} == {"slow"}
    assert not difference.appeared
    assert not difference.changed
    assert difference.by_rule()["attempt"]["same"] > 0


def test_another_severity_changes_every_alert_of_the_rule(history: Path, tmp_path: Path) -> None:
    old = rules(tmp_path, "old", ATTEMPT)
    difference = compared(history, old, rules(tmp_path, "new", ATTEMPT | {"severity": "critical"}))
    assert {p.changed for p in difference.changed} == {("severity",)}
    assert difference.by_rule()["attempt"] == {
        "same": 0,
        "appeared": 0,
        "vanished": 0,
        "changed": len(difference.changed),
    }


def test_an_alert_that_fires_at_another_event_changes_its_time(history: Path, tmp_path: Path) -> None:
    old, new = rules(tmp_path, "old", SLOW), rules(tmp_path, "new", SLOW | {"min_events": 60})
    difference = compared(history, old, new)
    moved = [p for p in difference.changed if p.old.started_at < p.new.started_at]
    assert moved
    assert all("time" in p.changed for p in moved)


def test_settings_of_agents_change_the_alerts(history: Path, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("")
    (tmp_path / "new.yaml").write_text("drift: {events_per_false_alarm: 100, reference_events: 50}")
    difference = compared(history, tmp_path / "old.yaml", tmp_path / "new.yaml")
    assert {e.rule for e in difference.appeared} == {"drift"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an exported weights file of an agent that learned the attacks as harmless."""
    agent = InjectionAgent()
    events = [LLMEvent.model_validate_json(raw) for raw in lines(1500) if b'"kind"' not in raw]
    signals = agent.score(Chunk(events)).signals
    for event, signal in zip(events, signals, strict=True):
        if signal.flag:
            label = {name: getattr(event, name) for name in ("call_id", "time", "tenant", "app")}
            feedback = {"feedback_id": event.event_id, "signal": "injection", "label": False, "user_id": event.call_id}
            assert agent.learn(Feedback.model_validate(label | feedback))
    agent.learner.keep_version("labels")
    *_, last = agent.learner.versions
    path = tmp_path_factory.mktemp("weights") / "injection.json"
    path.write_text(to_file(last, "injection", agent.learner.base).model_dump_json())
    return path


def test_weights_change_the_alerts(history: Path, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "old.yaml").write_text("")
    (tmp_path / "new.yaml").write_text(f"learning: {{injection_weights: {weights}}}")
    difference = compared(history, tmp_path / "old.yaml", tmp_path / "new.yaml")
    assert difference.flags["injection"].vanished > 0
    assert "injection-attempt" in {e.rule for e in difference.vanished}
    assert difference.flags["hallucination"].appeared == difference.flags["hallucination"].vanished == 0


def test_weights_of_another_agent_and_damaged_weights_are_rejected(tmp_path: Path, weights: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(weights.read_text().replace('"moves":"', '"moves":"AAAA', 1))
    for setting, path in (("hallucination_weights", weights), ("injection_weights", broken)):
        with pytest.raises(SettingsError) as raised:
            build_agents(Settings.model_validate({"learning": {setting: path}}))
        assert (raised.value.field, raised.value.path) == (f"learning.{setting}", path)
    broken.write_text("{}")
    with pytest.raises(SettingsError) as raised:
        build_agents(Settings.model_validate({"learning": {"injection_weights": broken}}))
    assert (raised.value.field, raised.value.code) == ("learning.injection_weights", "malformed")


def episode(number: int, start: int, end: int | None, **fields: Any) -> Episode:
    at = "2026-01-01T00:{:02d}:00.000Z".format
    base = Episode(
        alert_id=f"a{number}",
        fingerprint="f",
        rule="r",
        severity="warning",
        signal="s",
        segment={},
        summary="",
        value=1.0,
        started_at=at(start),
        resolved_at=None if end is None else at(end),
        evidence=("e1",),
        source_partition=0,
    )
    return dataclasses.replace(base, **fields)


def test_alerts_match_by_event_or_by_overlapping_times() -> None:
    old = [episode(1, 0, 5), episode(2, 10, 15), episode(3, 50, None)]
    new = [episode(1, 0, 7), episode(4, 12, 14), episode(5, 20, 25), episode(6, 55, None)]
    pairs = {(a and a.alert_id, b and b.alert_id) for a, b in match(old, new)}
    assert pairs == {("a1", "a1"), ("a2", "a4"), (None, "a5"), ("a3", "a6")}


def test_alerts_of_different_segments_do_not_match() -> None:
    pairs = list(match([episode(1, 0, 5)], [episode(2, 0, 5, fingerprint="g")]))
    assert [(a is None, b is None) for a, b in pairs] == [(False, True), (True, False)]


def test_time_severity_and_evidence_are_compared() -> None:
    old = episode(1, 0, 5)
    new = episode(1, 0, 6, severity="critical", evidence=("e1", "e2"), value=2.0, summary="other words")
    assert changed_fields(old, new) == ("time", "severity", "evidence")
    assert changed_fields(old, dataclasses.replace(old, value=2.0, summary="other words")) == ()


def test_an_episode_has_the_evidence_of_its_last_state() -> None:
    row = {name: getattr(episode(1, 0, None), name) for name in Episode.__dataclass_fields__ if name != "resolved_at"}
    episodes = Episodes()
    episodes.add([row | {"state": "firing", "changed_at": "t0", "threshold": 1}])
    episodes.add([row | {"state": "resolved", "changed_at": "t1", "threshold": 1, "evidence": ["e1", "e2"]}])
    (resolved,) = episodes.all()
    assert (resolved.resolved_at, resolved.evidence) == ("t1", ("e1", "e2"))


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", "replay", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_exit_code_distinguishes_difference_equality_and_error(history: Path, tmp_path: Path) -> None:
    old, new = rules(tmp_path, "old", ATTEMPT, SLOW), rules(tmp_path, "new", ATTEMPT)
    differs = command(history, "--diff", old, new, "--json")
    assert differs.returncode == 4, differs.stderr
    output = json.loads(differs.stdout)
    assert output["differs"]
    assert output["rules"]["slow"]["vanished"] == len(output["vanished"]) > 0
    same = command(history, "--diff", old, old, "--json")
    assert same.returncode == 0, same.stderr
    output = json.loads(same.stdout)
    assert (output["differs"], output["appeared"], output["vanished"], output["changed"]) == (False, [], [], [])
    assert command(history, "--diff", old, old).returncode == 0
    assert command(history, "--diff", old, tmp_path / "none.yaml").returncode == 2
    assert command(history).returncode == 2


def test_the_table_names_each_alert_that_differs(history: Path, tmp_path: Path) -> None:
    output = command(
        history, "--diff", rules(tmp_path, "old", ATTEMPT), rules(tmp_path, "new", ATTEMPT | {"severity": "info"})
    )
    assert "warning ->" in output.stdout
    assert "injection" in output.stdout
