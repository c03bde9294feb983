"""Contract of a partition's whole state: join, aggregates, alerts and agents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from tests.traffic import lines

PARTS = ("aggregates", "alerts", "join")
# One alert that goes on and on, one that comes and goes; windows of a rate and of a quantile.
RULES = """rules:
- {name: any-call, type: event, metric: latency_ms, threshold: 1, window_s: 3600, cooldown_s: 0}
- {name: slow, type: quantile, metric: latency_ms, q: 0.5, threshold: 650, window_s: 10, cooldown_s: 0}
- {name: errors, type: rate, metric: error, threshold: 0.01, window_s: 20, cooldown_s: 0}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "rules.yaml").write_text(RULES)
    return Settings(alerts={"rules_file": tmp_path / "rules.yaml"})


@pytest.fixture(scope="module")
def traffic() -> list[Record]:
    return [Record(i, decode_event(raw), raw) for i, raw in enumerate(lines(3000, step_ms=100))]


def packed(pipeline: PartitionPipeline) -> bytes:
    return encode(Snapshot(0, pipeline.offset, {}, pipeline.state()))


def said(out: Outputs, pipeline: PartitionPipeline) -> list[object]:
    windows = [*(w.row() for w in out.aggregates), *pipeline.open_aggregates(force=True)]
    return [out.scored, out.alerts, [orjson.dumps(w, option=orjson.OPT_NON_STR_KEYS) for w in windows]]


@pytest.mark.parametrize("part", PARTS)
def test_a_state_is_not_altered_by_what_comes_later(settings: Settings, traffic: Sequence[Record], part: str) -> None:
    """The worker packs it in a thread, while the next events are scored."""
    pipeline = build_pipeline(0, settings)
    # A cut in the middle of a window and of an alert; most windows have been counted into more than once.
    pipeline.process(traffic[:1500])
    state = pipeline.state()[part]
    before = encode(Snapshot(0, 0, {}, {part: state}))
    assert pipeline.process(traffic[1500:]).alerts
    assert encode(Snapshot(0, 0, {}, {part: state})) == before
    assert encode(Snapshot(0, 0, {}, {part: pipeline.state()[part]})) != before


@pytest.mark.parametrize("cut", [1, 700, 1500, 2999])
def test_a_state_through_the_codec_continues_bit_equal(settings: Settings, traffic: Sequence[Record], cut: int) -> None:
    whole, first, second = (build_pipeline(0, settings) for _ in range(3))
    whole.process(traffic[:cut])
    first.process(traffic[:cut])
    assert second.restore(decode(packed(first)).parts, first.offset) == []
    assert packed(second) == packed(whole)
    assert said(second.process(traffic[cut:]), second) == said(whole.process(traffic[cut:]), whole)
    assert packed(second) == packed(whole)


def test_sent_again_a_tail_of_the_stream_changes_nothing_but_the_count(
    settings: Settings, traffic: Sequence[Record]
) -> None:
    once, again = build_pipeline(0, settings), build_pipeline(0, settings)
    assert again.process(traffic[:300]).scored == once.process(traffic[:300]).scored
    repeated = again.process([r._replace(offset=300 + i) for i, r in enumerate(traffic[100:300])])
    assert (repeated.scored, repeated.alerts, repeated.aggregates) == ([], [], [])
    assert (again.deduplicator.dropped, again.joiner.pending) == (200, once.joiner.pending)
