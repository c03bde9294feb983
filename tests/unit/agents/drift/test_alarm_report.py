"""Words and events that an alarm reports, for synthetic records and for streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agents.base import Chunk
from agents.drift import DriftAgent
from agents.drift.alarm_report import changed_terms, describe, log_likelihood_ratio
from agents.drift.config import DriftConfig
from agents.drift.cusum import UP
from agents.drift.layout import NOVELTY, SEGMENT, TEXT
from agents.drift.segment_store import Examples
from evaluation.adapters.drift import changes_of
from schemas.event import CallError, Choice
from tests.unit.agents.drift.test_agent import BANK, CONFIG, FOOD, call

CONFIG_USERS = DriftConfig(reference_events=300)
RUN = 5


def record(**words: tuple[int, str]) -> Any:
    """Return a record of words: count in the reference, and one bit for each text since, latest last."""
    row = np.zeros(1, SEGMENT)[0]
    for k, (word, (before, history)) in enumerate(words.items()):
        row["rising_word"][k], row["rising_before"][k], row["rising_history"][k] = k + 1, before, int(history, 2)
        row["rising_name"][k, : len(word)] = np.frombuffer(word.encode(), np.uint8)
        row["rising_users"][k] = 0b11111
    return row


def gained(row: Any, run: int = RUN) -> tuple[str, ...]:
    return changed_terms(row, run, CONFIG_USERS)[0]


def test_a_word_is_counted_from_the_start_of_the_change() -> None:
    row = record(since=(0, "11111"), before=(0, "1111100000"), usual=(250, "11111"))
    assert gained(row) == ("since",)
    assert gained(row, 10) == ("since", "before")
    assert gained(row, 500) == ("since", "before")


@pytest.mark.parametrize("history", ["1", "10000", "00001"])
def test_a_word_of_a_single_text_is_not_reported(history: str) -> None:
    assert gained(record(once=(0, history))) == ()


@pytest.mark.parametrize("users", [0, 1, 0b10101010])
def test_a_word_of_fewer_than_five_users_is_not_reported(users: int) -> None:
    row = record(name=(0, "11111"))
    row["rising_users"][0] = users
    assert gained(row) == ()


def test_a_word_that_is_slightly_more_frequent_is_not_reported() -> None:
    assert gained(record(some=(60, "00110")), RUN) == ()


@pytest.mark.parametrize(("a", "b"), [(3, 4), (0, 2), (150, 0), (0, 0), (300, 10)])
def test_the_log_likelihood_ratio_equals_dunning_s(a: int, b: int) -> None:
    n, m = 300, 10

    def likelihood(k: int, total: int, share: float) -> float:
        return float(sum(count * np.log(p) for count, p in ((k, share), (total - k, 1.0 - share)) if count))

    share = (a + b) / (n + m)
    separate, common = (likelihood(a, n, x) + likelihood(b, m, y) for x, y in ((a / n, b / m), (share, share)))
    ratio = log_likelihood_ratio(np.array([a], np.uint16), n, np.array([b], np.uint8), m)
    assert ratio == pytest.approx([np.sign(b / m - a / n) * 2.0 * (separate - common)])


@pytest.mark.parametrize("feature", [NOVELTY, TEXT])
def test_the_start_of_a_change_is_the_start_of_the_chart_that_raised_the_alarm(feature: int) -> None:
    row = record(since=(0, "11111"), before=(0, "1111100000"))
    row["mean"][:] = 1.0
    row["text_level"] = 1.0
    for name, value in (("run", RUN), ("since_offset", 95)):
        row[name][UP, NOVELTY] = value if feature == NOVELTY else 1
    row["text_run"], row["text_offset"] = (RUN, 95) if feature == TEXT else (1, 99)
    examples = Examples(tuple(f"r{n}" for n in range(93, 98)), ((), (), (("before", 94), ("first", 95), ("last", 97))))
    change = describe(row, 0, (1.5, feature, UP), ("t", "a"), examples, CONFIG_USERS)
    assert (change.since_offset, change.terms_gained, change.event_ids) == (95, ("since",), ("first", "last"))
    without_flagged = Examples(examples.recent, ((), (), ()))
    change = describe(row, 0, (1.5, feature, UP), ("t", "a"), without_flagged, CONFIG_USERS)
    assert change.event_ids == examples.recent[-RUN:]


def test_events_before_the_start_of_a_change_are_not_reported() -> None:
    row = record()
    row["text_run"], row["text_level"] = 2, 1.0
    change = describe(row, 0, (1.5, TEXT, UP), ("t", "a"), Examples(("r1", "r2", "r3"), ((), (), ())), CONFIG_USERS)
    assert change.event_ids == ("r2", "r3")


def test_a_common_footer_of_long_texts_is_not_reported() -> None:
    """The reference counts only the first 64 words of a text, so later words once seemed new."""
    footer = "confidential signature ticket customer portal helpdesk reference regards"
    rng = np.random.default_rng(1)
    long, new = (
        [" ".join([*rng.choice(words.split(), 64), footer]) for _ in range(n)] for words, n in ((BANK, 600), (FOOD, 60))
    )
    _, change = changes_of([*long, *new], replace(CONFIG, min_users=2))[0]
    assert set(change.terms_gained) & set(FOOD.split())
    assert not set(change.terms_gained) & set(footer.split())


@pytest.mark.parametrize(
    ("users", "min_users", "reported"), [(1, 2, False), (4, 5, False), (40, 5, False), (2, 2, True)]
)
def test_a_word_of_few_users_is_in_no_alert(users: int, min_users: int, reported: bool) -> None:
    """The name and the diagnosis of a person were once part of an alert summary."""
    events = [call(i, user_id=f"u{i % 50}") for i in range(600)]
    content = "Zebulon Quackenbush has a diabetes record here"
    changed = [
        call(600 + i, user_id=f"v{i % users}", messages=({"role": "user", "content": content},)) for i in range(40)
    ]
    agent = DriftAgent(replace(CONFIG, min_users=min_users))
    changes = list(agent.score(Chunk([*events, *map(type(events[0]).model_validate, changed)])).changes)
    words = {word for change in changes for word in change.terms_gained}
    assert changes
    assert ("Quackenbush" in words) is reported


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("refusal", {"choices": (Choice(content="I'm sorry, but I can't help with that."),)}),
        ("error", {"error": CallError(type="timeout"), "choices": ()}),
    ],
)
def test_the_example_events_of_refusals_and_errors_are_refusals_and_errors(name: str, fields: dict[str, Any]) -> None:
    events = [call(i, **(fields if i >= 600 and i % 3 == 0 else {})) for i in range(700)]
    change = DriftAgent(CONFIG).score(Chunk(events)).changes[0]
    assert change.signal == f"drift.{name}"
    assert len(change.event_ids) > 1
    assert all(int(event_id[1:]) >= 600 and int(event_id[1:]) % 3 == 0 for event_id in change.event_ids)
