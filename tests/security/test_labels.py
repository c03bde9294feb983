"""Labels by invented users hide no attack, raise no flood of alarms, and touch no other tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.settings import Settings
from streams.runtime.decode import FEEDBACK_HEADER
from streams.runtime.topics import create_topics
from tests.conftest import MakeSettings
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.security.labelling import (
    ATTACKS,
    BUDGET,
    HARMLESS,
    LIMIT,
    OFF_TOPIC,
    Monitor,
    call,
    label,
    learner_of,
    log_odds,
    users,
)
from tests.topics import values
from tests.waiting import until

ROUNDING = 0.02
SHIPPED = Monitor().odds(ATTACKS)
SURE = [k for k, odds in enumerate(SHIPPED) if odds > LIMIT]
"""Attacks that the shipped weights flag by more than the stated bound."""


@dataclass(frozen=True)
class Campaign:
    """How labels come: so many in sum, over so many days and apps."""

    labels: int
    days: int = 1
    apps: int = 1
    source: str = "thumbs"
    honest_first: bool = False
    alternating: bool = False
    honest_users: bool = False
    annotator: bool = False


CAMPAIGNS = {
    "30": Campaign(30),
    "300": Campaign(300),
    "3000": Campaign(3000),
    "300 by source user": Campaign(300, source="user"),
    "3000 over ten days": Campaign(3000, days=10),
    "3000 in five apps": Campaign(3000, apps=5),
    "1500 over five days in three apps": Campaign(1500, days=5, apps=3),
    "300 after honest ones": Campaign(600, days=3, honest_first=True),
    "alternating": Campaign(300, alternating=True),
    "among honest ones": Campaign(300, honest_users=True),
    "against an annotator": Campaign(300, annotator=True),
}


def lies(campaign: Campaign, events: list[dict[str, Any]], day: int, names: Iterator[str]) -> Iterator[dict[str, Any]]:
    attacks = [event for event in events if event["messages"][0]["content"] in ATTACKS]
    each = campaign.labels // campaign.days // campaign.apps
    for k in range(each):
        event = attacks[k % len(attacks)]
        truth = campaign.honest_first and day == 0
        yield label(event, next(names), value=truth or (campaign.alternating and k % 2 == 0), source=campaign.source)
        if campaign.honest_users:
            other = events[k % len(events)]
            yield label(other, f"honest-{k % 9}", value=other["messages"][0]["content"] in ATTACKS)
        if campaign.annotator and k < len(attacks):
            yield label(event, "ann", value=True, source="annotator")


def attacked(campaign: Campaign) -> Monitor:
    monitor, names = Monitor(), users()
    for day in range(campaign.days):
        monitor.hour = 24.0 * day
        for app in range(campaign.apps):
            events, _ = monitor.show([*ATTACKS, *HARMLESS], app=f"app{app}")
            monitor.take(list(lies(campaign, events, day, names)))
    return monitor


@pytest.fixture(scope="module", params=CAMPAIGNS)
def monitor(request: pytest.FixtureRequest) -> Monitor:
    return attacked(CAMPAIGNS[request.param])


def test_there_are_attacks_to_hide() -> None:
    assert len(SURE) > 25


def test_known_attacks_stay_flagged(monitor: Monitor) -> None:
    _, signals = monitor.show(ATTACKS, app="app0")
    assert [k for k in SURE if not signals[k]["flag"]] == []


def test_no_score_falls_by_more_than_the_bound(monitor: Monitor) -> None:
    odds = monitor.odds(ATTACKS, app="app0")
    assert all(now > before - LIMIT - ROUNDING for now, before in zip(odds, SHIPPED, strict=True) if before < 6)


@pytest.mark.parametrize("name", [name for name, campaign in CAMPAIGNS.items() if not campaign.annotator])
def test_nothing_of_another_tenant_changes(name: str) -> None:
    """An annotator's labels help other tenants a little, as ever."""
    monitor = attacked(CAMPAIGNS[name])
    said = [*ATTACKS, *HARMLESS]
    assert monitor.show(said, tenant="other")[1] == Monitor().show(said, tenant="other")[1]


def test_labels_beyond_the_budget_are_counted_and_not_learned() -> None:
    monitor = attacked(Campaign(3000))
    counts = monitor.learner.counts
    assert counts.over_budget == 3000 - BUDGET
    assert counts.learned + counts.confirmed + counts.no_consensus + counts.untrusted <= 2 * BUDGET
    assert monitor.pipeline.labels_learned == BUDGET


def test_all_users_together_raise_no_score_by_more_than_the_bound() -> None:
    monitor, names = Monitor(), users()
    before = monitor.odds(HARMLESS)
    for day in range(10):
        monitor.hour = 24.0 * day
        events, _ = monitor.show(HARMLESS)
        monitor.take([label(events[k % len(events)], next(names), value=True) for k in range(400)])
    after = monitor.odds(HARMLESS)
    assert all(now <= then + LIMIT + ROUNDING for now, then in zip(after, before, strict=True) if then > -9)


def test_a_claimed_time_opens_no_new_budget() -> None:
    monitor, names = Monitor(), users()
    events, _ = monitor.show(ATTACKS)
    far = [f"{year}-01-01T00:00:00Z" for year in range(2027, 2057)]
    monitor.take([label(events[k % 48], next(names), value=False, time=far[k % 30]) for k in range(3000)])
    assert monitor.pipeline.labels_learned == BUDGET
    monitor.hour = 36.0
    events, _ = monitor.show(ATTACKS)
    monitor.take([label(events[k % 48], next(names), value=False) for k in range(3000)])
    assert monitor.pipeline.labels_learned == 2 * BUDGET


def test_what_another_tenant_was_taught_by_its_users_stays_to_the_bit() -> None:
    taught, untouched = Monitor(), Monitor()
    for monitor in (taught, untouched):
        events, _ = monitor.show([*ATTACKS, *HARMLESS], tenant="other")
        monitor.take([label(e, f"u{k}", value=k % 3 == 0, source="user") for k, e in enumerate(events[:60])])
    events, _ = taught.show(ATTACKS)
    taught.take([label(events[k % 48], name, value=False) for k, name in zip(range(150), users(), strict=False)])
    for monitor in (taught, untouched):
        events, _ = monitor.show([*ATTACKS, *HARMLESS], tenant="other")
        monitor.take([label(e, f"v{k}", value=k % 3 == 0, source="user") for k, e in enumerate(events[:60])])
    said = [*ATTACKS, *HARMLESS]
    assert taught.show(said, tenant="other")[1] == untouched.show(said, tenant="other")[1]
    assert taught.learner.deltas.weights()["moves"].tolist() == []


def test_invented_users_do_not_set_an_annotator_aside_nor_answer_in_her_name() -> None:
    taught, alone = Monitor(), Monitor()
    for monitor in (taught, alone):
        events, _ = monitor.show([*ATTACKS, *HARMLESS])
        said = [label(e, "ann", value=k < 48, source="annotator") for k, e in enumerate(events)]
        against = [label(e, f"v{k}-{n}", value=k >= 48) for n in range(3) for k, e in enumerate(events)]
        forged = [label(e, "ann", value=k >= 48) | {"feedback_id": f"x{k}"} for k, e in enumerate(events)]
        same_ids = [label(e, "bob", value=k >= 48) | {"feedback_id": s["feedback_id"]} for k, (e, s) in
                    enumerate(zip(events, said, strict=True))]  # fmt: skip
        lies_first, lies_last = (same_ids, [*against, *forged]) if monitor is taught else ([], [])
        monitor.take([*lies_first, *said, *lies_last])
    one, other = taught.learner.deltas, alone.learner.deltas
    assert one.weights()["moves"].tolist() == other.weights()["moves"].tolist() != []
    ann = ("acme", "user ann")
    trusted = [m.learner.tracks.verified.annotators.trust(ann) for m in (taught, alone)]
    assert trusted[0] == trusted[1] > 0.9


def test_thumbs_still_teach_within_the_bound() -> None:
    monitor = Monitor()
    before = monitor.odds(HARMLESS)
    events, _ = monitor.show(HARMLESS)
    monitor.take([label(event, f"user-{k}", value=False) for k, event in enumerate(events)])
    after = monitor.odds(HARMLESS)
    fallen = [then - now for now, then in zip(after, before, strict=True) if then > -7]
    assert sum(fallen) / len(fallen) > 0.3 * LIMIT
    assert max(fallen) <= LIMIT + ROUNDING


def test_annotators_still_move_scores_beyond_the_bound_of_users() -> None:
    monitor = Monitor()
    taught, held_out = OFF_TOPIC[:100], OFF_TOPIC[100:200]
    before = monitor.odds(held_out)
    events, _ = monitor.show([said for pair in zip(taught, HARMLESS, strict=True) for said in pair])
    monitor.take([label(e, f"ann{k // 2 % 4}", value=k % 2 == 0, source="annotator") for k, e in enumerate(events)])
    risen = [now - then for now, then in zip(monitor.odds(held_out), before, strict=True)]
    assert sum(risen) / len(risen) > LIMIT
    assert max(risen) > 2 * LIMIT


def test_a_rollback_also_ends_what_users_moved() -> None:
    monitor = attacked(Campaign(300))
    command = {"kind": "model", "command_id": "c", "time": "2026-01-01T00:00:00Z", "action": "rollback"}
    assert monitor.odds(ATTACKS) != SHIPPED
    monitor.take([command | {"signal": "injection", "version": "shipped"}])
    assert monitor.learner.counts.command_applied == 1
    assert monitor.odds(ATTACKS) == SHIPPED


def test_a_pipeline_restored_between_labels_goes_on_to_the_bit() -> None:
    whole = Monitor()
    for day in range(3):
        whole.hour = 24.0 * day
        events, _ = whole.show([*ATTACKS, *HARMLESS])
        whole.take([label(events[k % 48], f"{day}-{k}", value=False) for k in range(150)])
        fresh = Monitor()
        assert fresh.pipeline.restore(whole.pipeline.state(), whole.pipeline.offset) == []
        more = [label(events[k], f"more-{k}", value=k < 20, source=("thumbs", "judge")[k % 2]) for k in range(100)]
        fresh.hour = whole.hour
        assert whole.take(more).quality == fresh.take(more).quality
        assert whole.odds(ATTACKS) == fresh.odds(ATTACKS)


async def test_labels_of_invented_users_on_kafka_hide_no_attack(kafka: KafkaBroker, settings: MakeSettings) -> None:
    tree: Settings = settings(kafka.brokers, kafka={"brokers": kafka.brokers})
    await create_topics(tree.kafka)
    first = [call(f"a{k}", text, 0) for k, text in enumerate(ATTACKS)]
    again = [call(f"b{k}", text, 0) for k, text in enumerate(ATTACKS)]
    false = [label(first[k % 48], name, value=False) for k, name in zip(range(600), users(), strict=False)]
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, linger_ms=5)
    await producer.start()
    for item in (*first, *false, *again):
        headers = [FEEDBACK_HEADER] if item.get("kind") == "feedback" else []
        await producer.send(tree.kafka.topic("events"), orjson.dumps(item), partition=0, headers=headers)
    await producer.stop()
    async with judging(tree) as worker:
        await until(lambda: judged(worker) == len(first) + len(false) + len(again), 90)
        counts = [learner_of(engine.pipeline).counts for engine in worker.runners.values()]
        assert sum(count.over_budget for count in counts) >= 600 - 2 * BUDGET
    rows = {row["event"]["event_id"]: row["signals"]["injection"] for row in await values(tree, "scored")}
    assert [k for k in SURE if not rows[f"b{k}"]["flag"]] == []
    moved = [log_odds(rows[f"a{k}"]["score"]) - log_odds(rows[f"b{k}"]["score"]) for k in SURE if SHIPPED[k] < 6]
    assert max(moved) <= LIMIT + ROUNDING
