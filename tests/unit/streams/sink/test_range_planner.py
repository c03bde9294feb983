from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sink.range_planner import CommitMarker, Step, next_step, range_size

SETTLED = CommitMarker(5)
INTENT = CommitMarker(5, end=9)


@pytest.mark.parametrize(
    ("marker", "offsets", "position", "due", "step"),
    [
        (CommitMarker(), [], 0, True, Step.WAIT),
        (CommitMarker(), [0, 1], 2, False, Step.WAIT),
        (CommitMarker(), [0, 1], 2, True, Step.INSERT),
        (SETTLED, [], 5, True, Step.WAIT),
        (SETTLED, [5], 6, False, Step.WAIT),
        (SETTLED, [5], 6, True, Step.INSERT),
        (SETTLED, [80], 81, True, Step.INSERT),  # retention removed records after the marker: the rest is inserted
        (INTENT, [], 5, True, Step.WAIT),
        (INTENT, [5, 6], 7, True, Step.WAIT),  # part of the range would be a different insert
        (INTENT, [5, 6, 7, 8, 9], 10, False, Step.REDO),  # immediately, due or not
        (INTENT, [5, 9, 12], 13, False, Step.REDO),  # compaction left gaps
        (INTENT, [5, 6], 10, False, Step.REDO),  # compaction removed the end
        (INTENT, [9], 10, False, Step.REDO),  # retention removed the start
        (INTENT, [], 10, False, Step.SKIP),  # compaction removed the whole range
        (INTENT, [40, 41], 42, False, Step.SKIP),  # retention removed the whole range
        (INTENT, [0], 1, False, Step.RESET),  # the log was replaced
        (INTENT, [4, 5], 6, True, Step.RESET),
    ],
)
def test_each_state_has_its_step(
    marker: CommitMarker, offsets: list[int], position: int, due: bool, step: Step
) -> None:
    assert next_step(marker, offsets, position, due=due) is step


def test_a_redo_covers_exactly_the_announced_range() -> None:
    assert range_size(INTENT, Step.REDO, [5, 7, 9, 10, 11], max_records=1) == 3


def test_an_insert_covers_at_most_one_batch() -> None:
    assert range_size(SETTLED, Step.INSERT, [5, 6, 7], max_records=2) == 2
    assert range_size(SETTLED, Step.SKIP, [5, 6, 7], max_records=2) == 0


def test_settling_advances_past_the_range_and_never_lowers_the_deduplication_position() -> None:
    assert CommitMarker(5, 9, dedup_position=(3, 0)).settled((7, 1)) == CommitMarker(10, None, (7, 1))
    assert CommitMarker(5, 9, dedup_position=(8, 0)).settled((7, 1)) == CommitMarker(10, None, (8, 0))
    with pytest.raises(ValueError, match=r"CommitMarker\("):
        SETTLED.settled((0, 0))


@given(st.integers(0, 2**62), st.none() | st.integers(0, 1000), st.tuples(st.integers(-1, 2**62), st.integers(-1, 9)))
def test_a_marker_survives_its_commit(offset: int, length: int | None, position: tuple[int, int]) -> None:
    marker = CommitMarker(offset, None if length is None else offset + length, position)
    assert CommitMarker.parse(offset, marker.metadata()) == marker


@pytest.mark.parametrize("metadata", ["", "other tool", "[]", "1", '{"end": "x"}', '{"seen": 3}', '{"end": 2}'])
def test_foreign_metadata_gives_an_empty_marker(metadata: str) -> None:
    assert CommitMarker.parse(7, metadata) == CommitMarker(7)


@given(st.data())
def test_after_any_crash_each_record_is_inserted_in_exactly_one_range(data: st.DataObject) -> None:
    """Model of the sink: crash at any of its three writes, restart with another batch size; ranges never overlap."""
    log = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1)))
    end = log[-1] + 1
    marker, done = CommitMarker(), False
    ranges: dict[tuple[int, int | None], list[int]] = {}
    for _ in range(500):
        offsets = [o for o in log if o >= marker.offset]
        step = next_step(marker, offsets, end, due=True)
        if step is Step.WAIT:
            done = True
            break
        batch = offsets[: range_size(marker, step, offsets, data.draw(st.integers(1, 7)))]
        marker = marker.intent(batch[0], batch[-1]) if step is Step.INSERT else marker
        crash = data.draw(st.sampled_from(["none", "after intent", "after insert"]))
        if crash == "after intent":
            continue
        assert ranges.setdefault((marker.offset, marker.end), batch) == batch
        if crash == "none":
            marker = marker.settled((-1, -1))
    if done:
        assert sorted(o for batch in ranges.values() for o in batch) == log
