from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.base import ChangePoint, Chunk, event_time_ms
from processing.alerting import AlertEngine
from processing.alerting.summary import summarise_change
from schemas.errors import SettingsError, StateError
from schemas.event import LLMEvent
from schemas.outputs import Alert
from schemas.rules import RuleSet
from tests.timing import Timed


class Said(NamedTuple):
    score: float
    flag: bool = False


def rules(**rule: Any) -> RuleSet:
    return RuleSet.model_validate({"rules": [{"name": "r", **rule}]})


def event(second: int, **more: Any) -> LLMEvent:
    at = f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    base = {"event_id": f"e{second}", "call_id": "c", "tenant": "t", "app": "a", "time": at}
    return LLMEvent.model_validate(base | more)


def run(
    engine: AlertEngine, calls: list[LLMEvent], scores: list[float] | None = None, at: int = 0
) -> list[dict[str, Any]]:
    said = {"injection": [Said(s) for s in scores]} if scores else {}
    rows = engine.process(Chunk(calls, np.arange(at, at + len(calls))), said, [])
    for row in rows:
        Alert.model_validate(row)
    return rows


def states(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(r["state"], r["changed_at"][11:19]) for r in rows]


def test_an_event_above_the_level_fires_once_and_resolves_when_quiet() -> None:
    engine = AlertEngine(rules(type="event", metric="injection.score", threshold=0.9, window_s=60, cooldown_s=100), 0)
    rows = run(engine, [event(s) for s in (0, 1, 2, 61, 63, 100)], [0.95, 0.99, 0.1, 0.1, 0.1, 0.95])
    assert states(rows) == [("firing", "00:00:00"), ("resolved", "00:01:01")]
    assert rows[1]["evidence"] == ["e0", "e1"]
    assert rows[0]["alert_id"] == rows[1]["alert_id"]


def test_an_alert_ends_though_the_stream_paused_for_days() -> None:
    engine = AlertEngine(rules(type="event", metric="injection.score", threshold=0.9, window_s=60), 0)
    run(engine, [event(0)], [0.95])
    later = [event(k).model_copy(update={"time": event(k).time + timedelta(days=3)}) for k in range(3)]
    assert states(run(engine, later)) == [("resolved", "00:00:00")]


def test_an_alert_of_a_silent_scope_ends_by_the_brokers_time_and_by_nothing_that_others_say() -> None:
    engine = AlertEngine(rules(type="event", metric="injection.score", threshold=0.9, window_s=60), 0)
    timed, begin = Timed(), event_time_ms(event(0))
    said = {"injection": [Said(0.95)]}
    assert states(engine.process(timed.chunk([event(0)], [begin + 500]), said, [])) == [("firing", "00:00:00")]
    others = [event(k, app="other").model_copy(update={"event_id": f"o{k}"}) for k in (3600, 7200)]
    assert engine.process(timed.chunk(others, [begin + 1_000, begin + 60_499]), {}, []) == []
    assert states(engine.process(timed.chunk(others[:1], [begin + 60_500]), {}, [])) == [("resolved", "00:01:00")]


def test_what_is_dated_ahead_pushes_nothing_out_of_a_window() -> None:
    engine = AlertEngine(rules(type="count", metric="error", threshold=3, window_s=60, min_events=1), 0)
    timed, begin = Timed(), event_time_ms(event(0))
    failed = [event(s, error={"type": "x"}) for s in (0, 299, 1, 2)]
    rows = engine.process(timed.chunk(failed, [begin + 5_000] * 4), {}, [])
    assert [row["state"] for row in rows] == ["firing"]


def test_after_the_cool_down_it_may_fire_again_as_another_alert() -> None:
    engine = AlertEngine(rules(type="event", metric="injection.score", threshold=0.9, window_s=60, cooldown_s=100), 0)
    rows = run(engine, [event(s) for s in (0, 70, 165, 175)], [0.95, 0.1, 0.95, 0.95])
    assert states(rows) == [("firing", "00:00:00"), ("resolved", "00:01:10"), ("firing", "00:02:55")]
    assert rows[0]["fingerprint"] == rows[2]["fingerprint"]
    assert rows[0]["alert_id"] != rows[2]["alert_id"]


def test_a_rate_fires_above_and_resolves_below_its_own_level() -> None:
    engine = AlertEngine(
        rules(type="rate", metric="error", threshold=0.5, resolve_threshold=0.2, window_s=100, min_events=4), 0
    )
    failed: dict[str, Any] = {"error": {"type": "x"}}
    calls = [event(i, **(failed if i < 6 else {})) for i in range(40)]
    rows = run(engine, calls)
    assert states(rows) == [("firing", "00:00:03"), ("resolved", "00:00:29")]
    assert rows[0]["value"] == 1.0


def test_a_quantile_fires_when_enough_values_are_above() -> None:
    engine = AlertEngine(
        rules(type="quantile", q=0.5, metric="latency_ms", threshold=1000, window_s=100, min_events=4), 0
    )
    calls = [event(i, latency_ms=100 if i < 10 else 2000) for i in range(30)]
    (row,) = run(engine, calls)
    assert (row["state"], row["changed_at"][17:19]) == ("firing", "20")
    assert row["value"] == pytest.approx(2000, rel=0.03)


def test_a_count_counts_in_its_window_only() -> None:
    engine = AlertEngine(rules(type="count", metric="error", threshold=2, window_s=10, min_events=1), 0)
    failed: dict[str, Any] = {"error": {"type": "x"}}
    assert run(engine, [event(i, **failed) for i in range(0, 60, 6)]) == []
    assert states(run(engine, [event(60, **failed), event(61, **failed)], at=10))[0] == ("firing", "00:01:01")


def test_a_change_fires_with_its_evidence() -> None:
    engine = AlertEngine(rules(type="change", metric="drift.*"), 2)
    change = ChangePoint(
        0, "drift.latency_ms", {"tenant": "t", "app": "a"}, 5, 10**12, 100.0, 900.0, 2.0, slices={"v=2": (0.0, 1.0)}
    )
    chunk = Chunk([event(9)], np.array([77]))
    (row,) = engine.process(chunk, {}, [change])
    alert = Alert.model_validate(row)
    assert (alert.signal, alert.value, alert.source_offset, alert.source_partition) == (
        "drift.latency_ms",
        900.0,
        77,
        2,
    )
    for printed in ("100", "900", "v=2", "0%", "100%"):
        assert printed in alert.summary
    assert AlertEngine(rules(type="change", metric="injection.rate"), 2).process(chunk, {}, [change]) == []


def test_the_end_of_a_change_does_not_say_that_it_is_over() -> None:
    engine = AlertEngine(rules(type="change", metric="*", window_s=60), 0)
    change = ChangePoint(0, "injection.rate", {"tenant": "t", "app": "a"}, 5, 10**12, 0.0, 0.3, 2.0)
    (fired,) = engine.process(Chunk([event(0)]), {}, [change])
    (ended,) = engine.process(Chunk([event(70)]), {}, [])
    assert fired["summary"].startswith(
        "t/a: injection flag rate rose from 0.0% to 30.0%, since about 2001-09-09 01:46 UTC. "
    )
    assert ended["summary"].endswith(
        "; auto-resolved after 60 s without new evidence (the level may still be elevated)."
    )


@pytest.mark.parametrize(("levels", "collects"), [((0.0, 0.3), True), ((0.3, 0.0), False)])
def test_while_a_risen_rate_fires_flagged_events_are_its_evidence(levels: tuple[float, float], collects: bool) -> None:
    def calls(first: int, n: int) -> tuple[Chunk, dict[str, list[Said]]]:
        events = [event(first + k) for k in range(n)]
        return Chunk(events, np.arange(first, first + n)), {"injection": [Said(0.9, k % 2 == 0) for k in range(n)]}

    ruled = rules(type="change", metric="injection.rate", window_s=300)
    engine = AlertEngine(ruled, 0)
    change = ChangePoint(0, "injection.rate", {"tenant": "t", "app": "a"}, 0, 10**12, *levels, 2.0, event_ids=("e0",))
    engine.process(*calls(0, 1), [change])
    engine.process(*calls(1, 4), [])
    other = AlertEngine(ruled, 0)
    other.restore(engine.state())
    other.process(
        Chunk([event(60).model_copy(update={"app": "b"})], np.array([60])), {"injection": [Said(0.9, True)]}, []
    )
    other.process(*calls(61, 60), [])
    (ended,) = other.process(*calls(400, 1), [])
    flagged = ["e0", "e1", "e3", *(f"e{61 + k}" for k in range(0, 60, 2))][:20]
    assert ended["evidence"] == (flagged if collects else ["e0"])


@pytest.mark.parametrize(("moved", "causes"), [((0.88, 1.0), ()), ((0.0, 1.0), ("prompt version: v2 0% to 90%",))])
def test_a_slice_is_told_if_it_moved_and_no_cause_has_other_numbers(
    moved: tuple[float, float], causes: tuple[str, ...]
) -> None:
    facts: dict[str, Any] = {"slices": {"language=en": moved}, "causes": causes}
    change = ChangePoint(0, "drift.text", {"tenant": "t", "app": "a"}, 5, 10**12, 1.0, 2.0, 2.0, **facts)
    assert "language=en" not in summarise_change(change)


def test_a_rule_for_one_app_leaves_the_others_alone() -> None:
    engine = AlertEngine(rules(type="event", metric="injection.score", threshold=0.9, app="other"), 0)
    assert run(engine, [event(0)], [0.99]) == []


def test_a_metric_that_no_event_has_is_refused_with_the_choice() -> None:
    with pytest.raises(SettingsError) as raised:
        AlertEngine(rules(type="event", metric="injection.scor", threshold=0.9), 0)
    error = raised.value
    assert (error.field, error.code, error.suggestion) == ("metric", "unknown", "injection.score")


@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 59),
)
def test_chunks_and_restores_do_not_matter(stream: list[tuple[int, float, bool]], cut: int) -> None:
    several = RuleSet.model_validate(
        {
            "rules": [
                {
                    "name": "e",
                    "type": "event",
                    "metric": "injection.score",
                    "threshold": 0.9,
                    "window_s": 20,
                    "cooldown_s": 5,
                },
                {"name": "r", "type": "rate", "metric": "error", "threshold": 0.3, "window_s": 30, "min_events": 3},
                {"name": "q", "type": "quantile", "q": 0.5, "metric": "latency_ms", "threshold": 9, "min_events": 2},
            ]
        }
    )
    calls = [event(s, latency_ms=s % 20, error={"type": "x"} if bad else None) for s, _, bad in stream]
    scores = [score for _, score, _ in stream]
    expected = run(AlertEngine(several, 0), calls, scores)
    first, second = AlertEngine(several, 0), AlertEngine(several, 0)
    got = run(first, calls[:cut], scores[:cut])
    second.restore(first.state())
    assert got + (run(second, calls[cut:], scores[cut:], at=cut) if calls[cut:] else []) == expected


def test_a_state_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(StateError):
        AlertEngine(RuleSet(), 0).restore({})


def test_a_change_to_below_a_level_fires_one_that_stays_above_does_not() -> None:
    engine = AlertEngine(rules(type="change", metric="injection.precision", below=0.7), 0)
    segment = {"tenant": "t", "app": "a"}
    levels = [ChangePoint(0, "injection.precision", segment, 0, 0, 0.9, after, 1.0) for after in (0.8, 0.65)]
    assert engine.process(Chunk([event(0)]), {}, levels[:1]) == []
    (row,) = engine.process(Chunk([event(1)]), {}, levels[1:])
    assert (row["state"], row["value"], row["threshold"]) == ("firing", 0.65, 0.7)


def test_below_is_for_changes_only() -> None:
    with pytest.raises(ValidationError) as raised:
        rules(type="event", metric="injection.score", below=0.7)
    (error,) = raised.value.errors()
    assert error["type"] == "value_error"
