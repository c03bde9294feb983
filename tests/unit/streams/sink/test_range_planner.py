from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sink.range_planner import Mark, Step, decide, take

SETTLED = Mark(5)
INTENT = Mark(5, end=9)


@pytest.mark.parametrize(
    ("mark", "offsets", "position", "due", "step"),
    [
        (Mark(), [], 0, True, Step.WAIT),
        (Mark(), [0, 1], 2, False, Step.WAIT),
        (Mark(), [0, 1], 2, True, Step.INSERT),
        (SETTLED, [], 5, True, Step.WAIT),
        (SETTLED, [5], 6, False, Step.WAIT),
        (SETTLED, [5], 6, True, Step.INSERT),
        (SETTLED, [80], 81, True, Step.INSERT),  # retention ran past us: what is left goes on
        (INTENT, [], 5, True, Step.WAIT),
        (INTENT, [5, 6], 7, True, Step.WAIT),  # a part of the range would be another insert
        (INTENT, [5, 6, 7, 8, 9], 10, False, Step.REDO),  # at once, due or not
        (INTENT, [5, 9, 12], 13, False, Step.REDO),  # compaction left holes
        (INTENT, [5, 6], 10, False, Step.REDO),  # compaction took the end
        (INTENT, [9], 10, False, Step.REDO),  # retention took the begin
        (INTENT, [], 10, False, Step.SKIP),  # compaction took all of it
        (INTENT, [40, 41], 42, False, Step.SKIP),  # retention took all of it
        (INTENT, [0], 1, False, Step.RESET),  # the log was replaced
        (INTENT, [4, 5], 6, True, Step.RESET),
    ],
)
def test_each_state_has_its_step(mark: Mark, offsets: list[int], position: int, due: bool, step: Step) -> None:
    assert decide(mark, offsets, position, due=due) is step


def test_a_redo_takes_the_announced_range_and_no_more() -> None:
    assert take(INTENT, Step.REDO, [5, 7, 9, 10, 11], most=1) == 3


def test_an_insert_takes_at_most_a_batch() -> None:
    assert take(SETTLED, Step.INSERT, [5, 6, 7], most=2) == 2
    assert take(SETTLED, Step.SKIP, [5, 6, 7], most=2) == 0


def test_settling_moves_past_the_range_and_never_forgets_what_was_seen() -> None:
    assert Mark(5, 9, seen=(3, 0)).settled((7, 1)) == Mark(10, None, (7, 1))
    assert Mark(5, 9, seen=(8, 0)).settled((7, 1)) == Mark(10, None, (8, 0))
    with pytest.raises(ValueError, match=r"Mark\("):
        SETTLED.settled((0, 0))


@given(st.integers(0, 2**62), st.none() | st.integers(0, 1000), st.tuples(st.integers(-1, 2**62), st.integers(-1, 9)))
def test_a_mark_survives_its_commit(offset: int, length: int | None, seen: tuple[int, int]) -> None:
    mark = Mark(offset, None if length is None else offset + length, seen)
    assert Mark.parse(offset, mark.metadata()) == mark


@pytest.mark.parametrize("metadata", ["", "other tool", "[]", "1", '{"end": "x"}', '{"seen": 3}', '{"end": 2}'])
def test_metadata_that_is_not_ours_is_an_empty_mark(metadata: str) -> None:
    assert Mark.parse(7, metadata) == Mark(7)


@given(st.data())
def test_whatever_the_crash_each_record_is_inserted_under_one_range(data: st.DataObject) -> None:
    """A model of the sink: crash at any of its three writes, restart with another batch size; ranges never overlap."""
    log = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1)))
    end = log[-1] + 1
    mark, done = Mark(), False
    ranges: dict[tuple[int, int | None], list[int]] = {}
    for _ in range(500):
        offsets = [o for o in log if o >= mark.offset]
        step = decide(mark, offsets, end, due=True)
        if step is Step.WAIT:
            done = True
            break
        batch = offsets[: take(mark, step, offsets, data.draw(st.integers(1, 7)))]
        mark = mark.intent(batch[0], batch[-1]) if step is Step.INSERT else mark
        crash = data.draw(st.sampled_from(["none", "after intent", "after insert"]))
        if crash == "after intent":
            continue
        assert ranges.setdefault((mark.offset, mark.end), batch) == batch
        if crash == "none":
            mark = mark.settled((-1, -1))
    if done:
        assert sorted(o for batch in ranges.values() for o in batch) == log
