"""Events dated far ahead or far back: they make nobody's windows, alerts, joins and labels late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from agents.common.watermark import bounded_time
from processing.pipeline import Outputs, PartitionPipeline, Record
from schemas.outputs import Scored
from schemas.settings import Settings
from streams.runtime.decode import FEEDBACK_HEADER, decode_event
from streams.runtime.partitioning import window_key
from streams.runtime.registry import build_pipeline
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from tests.security.dated import ATTACKS, BEGIN_MS, EXACT, MINUTES, RULES, STATES, Item, call, calls, story


def log(items: Iterable[Item], tenant: str | None = None) -> list[Record]:
    """Return items, the hostile ones as if of this tenant, as the records of one partition."""
    out = []
    for offset, (item, second) in enumerate(items):
        fields = item
        if tenant is not None and fields["tenant"].startswith("evil"):
            fields = fields | {"tenant": tenant, "app": "chat"}
        headers = [FEEDBACK_HEADER] if fields.get("kind") == "feedback" else []
        raw = orjson.dumps(fields)
        out.append(Record(offset, decode_event(raw, headers), raw, BEGIN_MS + round(1000 * second)))
    return out


@pytest.fixture
def tree(tmp_path: Path) -> Settings:
    (tmp_path / "rules.yaml").write_text(RULES)
    return Settings.model_validate({"alerts": {"rules_file": tmp_path / "rules.yaml"}})


class Run:
    """What a partition says of its records."""

    def __init__(self, tree: Settings, records: Sequence[Record], restart: int | None = None, size: int = 64) -> None:
        self.tree = tree
        self.pipeline = build_pipeline(0, tree)
        self.scored: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.windows: dict[str, dict[str, Any]] = {}
        self.learned = 0
        cut = len(records) if restart is None else restart
        self._all(records[:cut], size)
        if restart is not None:
            self.learned = self.pipeline.labels_learned
            self.pipeline = restored(self.pipeline, tree)
            self._all(records[cut:], size)
        self.learned += self.pipeline.labels_learned
        self._keep(self.pipeline.open_aggregates(force=True))

    def _all(self, records: Sequence[Record], size: int) -> None:
        for k in range(0, len(records), size):
            out: Outputs = self.pipeline.process(records[k : k + size])
            self.scored += map(orjson.loads, out.scored)
            self.alerts += out.alerts
            self._keep(window.row() for window in out.aggregates)

    def _keep(self, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            self.windows[window_key(row)] = row

    def minutes(self, tenant: str) -> dict[str, int]:
        """Return the events of each minute."""
        found: Counter[str] = Counter()
        for row in self.windows.values():
            if row["tenant"] == tenant:
                found[row["window_start"][11:16]] += row["events"]
        return dict(found)

    def states(self, tenant: str) -> list[tuple[str, str, str]]:
        alerts = [row for row in self.alerts if row["segment"]["tenant"] == tenant]
        return [(row["rule"], row["state"], row["changed_at"][11:16]) for row in alerts]

    def issues(self) -> Counter[str]:
        return Counter(chain.from_iterable(row.get("input_issues", ()) for row in self.scored))


def restored(pipeline: PartitionPipeline, tree: Settings) -> PartitionPipeline:
    """Return another pipeline that continues from the snapshot of one, through its bytes."""
    snapshot = decode(encode(Snapshot(0, pipeline.offset, {}, pipeline.state())))
    again = build_pipeline(0, tree)
    assert again.restore(snapshot.parts, snapshot.offset) == []
    return again


def assert_exact(run: Run, tenant: str) -> None:
    ordinary = {minute: n for minute, n in run.minutes(tenant).items() if minute in EXACT}
    assert ordinary == EXACT
    assert run.states(tenant)[:3] == STATES
    assert run.states(tenant)[3][:2] == ("errors", "resolved")
    counts = run.pipeline.joiner.counts
    # The one whose other half never comes is given up after ten minutes, when its minute is closed.
    assert (counts.late, run.pipeline.aggregator.late, run.pipeline.aggregator.overflow) == (0, 1, 0)
    mine = [row["event"] for row in run.scored if row["event"]["tenant"] == tenant]
    whole = [event for event in mine if event.get("kind", "call") == "call" and not event["time"].startswith("2199")]
    assert len({event["event_id"] for event in whole}) == 6 * MINUTES
    assert [event["event_id"] for event in mine if event.get("kind") == "request"] == [f"{tenant}-alone"]


@pytest.mark.parametrize("tenant", ["good", None])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("second", [-400, 95])
@pytest.mark.parametrize("attack", ATTACKS)
def test_far_dated_events_make_nothing_late(
    tree: Settings, attack: str, second: float, restart: bool, tenant: str | None
) -> None:
    """First in the partition and amid it, of the same tenant and app and of others, in a snapshot and in none."""
    hostile: list[Item] = list(zip(ATTACKS[attack](), repeat(second)))
    items = sorted([*hostile, *story("good")], key=lambda item: item[1])
    records = log(items, tenant)
    cut = 1 + max(k for k, (item, _) in enumerate(items) if any(item is h for h, _ in hostile))
    run = Run(tree, records, restart=cut if restart else None)
    far = [row for row in run.scored if row["event"]["time"].startswith("2199")]
    events = sum(record.raw.find(b'"feedback_id"') < 0 and b"2199" in record.raw for record in records)
    whole = events // 2 if attack == "halves" else events
    assert len(far) == whole
    assert all(row["input_issues"] == ["time_skew"] and row["signals"]["injection"] for row in far)
    assert run.issues() == {"time_skew": whole}
    assert restart or run.pipeline.input_issues == run.issues()
    for row in run.scored:
        Scored.model_validate(row)
    if tenant is None or second < 0:
        assert_exact(run, "good")
    else:
        # Counted when the broker took them: in the minute 1.
        assert run.minutes("good") == EXACT | {"12:01": 6 + whole}
    assert run.learned == 6 + (40 if attack == "labels" else 0)


def test_within_the_allowed_skew_events_count_at_their_time_and_are_not_marked(tree: Settings) -> None:
    ahead: list[Item] = [(call(f"ahead{k}", 10.0 * k + 290, "good"), 10.0 * k) for k in range(6 * MINUTES)]
    run = Run(tree, log(sorted([*ahead, *story("good")], key=lambda item: item[1])))
    assert run.issues() == {}
    assert run.pipeline.aggregator.late == 1
    assert sum(run.minutes("good").values()) == 2 * 6 * MINUTES
    assert run.minutes("good")["12:23"] == 6


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_history_is_replayed_exactly_while_others_are_live_and_date_ahead(tree: Settings, size: int) -> None:
    """Event times weeks before the broker's, ascending, played in a minute; skewed events of the same app amid."""
    history: list[Item] = [(item, 1_000_000 + second / 20) for item, second in story("good")]
    live: list[Item] = [(call(f"live{k}", 1_000_000 + k, "live"), 1_000_001.0 + k) for k in range(60)]
    far: list[Item] = [(event, 1_000_000.0 + k) for k, event in enumerate(calls(50))]
    run = Run(tree, log(sorted([*history, *live, *far], key=lambda item: item[1]), "good"), size=size)
    ordinary = {minute: n for minute, n in run.minutes("good").items() if minute in EXACT}
    assert ordinary == EXACT
    assert run.issues()["time_skew"] == 50
    assert sum(run.minutes("live").values()) == 60
    assert run.states("good")[:3] == STATES


def test_a_silent_tenant_is_finished_by_the_brokers_time(tree: Settings) -> None:
    story_of = story("good")
    others: list[Item] = [(call(f"other{k}", k, "other"), k) for k in range(60 * MINUTES, 60 * MINUTES + 7200, 60)]
    run = Run(tree, log([*story_of[:200], *others]))
    assert [state for _, state, _ in run.states("good")].count("resolved") == 2
    assert run.pipeline.joiner.pending == 0
    assert {row["tenant"] for row in run.pipeline.open_aggregates(force=True)} == {"other"}


@pytest.mark.parametrize("broker", [0, -1, 1])
def test_without_the_brokers_time_tenants_are_apart_all_the_same(tree: Settings, broker: int) -> None:
    hostile: list[Item] = list(zip(calls(500, tenants=8), repeat(0.0)))
    records = [record._replace(timestamp_ms=broker) for record in log([*hostile, *story("good")])]
    run = Run(tree, records)
    assert run.minutes("good") == EXACT
    assert run.states("good")[:3] == STATES


HOSTILE = st.lists(
    st.tuples(
        st.integers(0, 60 * MINUTES + 600),
        st.one_of(st.integers(-(10**9), 600), st.integers(0, 60 * MINUTES), st.integers(600, 5 * 10**9)),
        st.sampled_from(["call", "request", "response"]),
        st.sampled_from(["chat", "other"]),
    ),
    max_size=60,
)


def seen(run: Run) -> dict[str, Any]:
    """Return all that is said of the ordinary tenant, but for where in the log it stands."""
    apart = ("source_offset", "alert_id", "source_seq", "version")
    mine = [row for row in run.scored if row["event"]["tenant"] == "good"]
    return {
        "signals": sorted((row["event"]["event_id"], orjson.dumps(row["signals"])) for row in mine),
        "alerts": [
            {name: value for name, value in row.items() if name not in apart}
            for row in run.alerts
            if row["segment"]["tenant"] == "good"
        ],
        "windows": [
            {name: value for name, value in row.items() if name not in apart}
            for _, row in sorted(run.windows.items())
            if row["tenant"] == "good"
        ],
    }


@given(hostile=HOSTILE, restart=st.booleans())
@effort(max_examples=25, deadline=None)
def test_whatever_one_tenant_dates_how_another_sees_nothing_of_it(
    tmp_path_factory: pytest.TempPathFactory, hostile: list[tuple[int, int, str, str]], restart: bool
) -> None:
    rules = tmp_path_factory.mktemp("rules") / "rules.yaml"
    rules.write_text(RULES)
    tree = Settings.model_validate({"alerts": {"rules_file": rules}})
    # Time passes for the silent too: both runs end with an event after all of it.
    ordinary: list[Item] = [*story("good"), (call("last", 9_000, "good"), 9_001.0)]
    evil: list[Item] = []
    for k, (second, ahead, kind, app) in enumerate(hostile):
        when = max(BEGIN_MS // 1000 + second + ahead, 40_000_000)
        time = datetime.fromtimestamp(min(when, 7_250_000_000), UTC).isoformat()
        event = call(f"evil{k}", 0, "bad", time=time, kind=kind, app=app)
        del event[{"request": "choices", "response": "messages"}.get(kind, "messages")]
        evil.append((event, float(second)))
    both = sorted([*ordinary, *evil], key=lambda item: item[1])
    alone = Run(tree, log(ordinary))
    assert seen(Run(tree, log(both), restart=len(both) // 2 if restart else None, size=17)) == seen(alone)


def test_a_time_that_a_producer_chose_ends_nothing_of_another_tenant() -> None:
    """Topics from before LogAppendTime keep the producer's time: 2198 closed everybody's windows."""
    far = 7_200_000_000_000
    assert bounded_time(far, far, 300_000, appended=False).broker_ms == 0
    assert bounded_time(far, far, 300_000).broker_ms == far


@pytest.mark.parametrize("broker", [0, 1, 7_258_118_400_000, 1 << 62])
def test_a_time_of_the_broker_that_is_none_is_not_taken_for_one(broker: int) -> None:
    assert bounded_time(1_700_000_000_000, broker, 300_000) == (1_700_000_000_000, 1_700_000_000_000, 0)
