"""Call ids of a context, for feedback."""

from __future__ import annotations

import streamgauge
from streamgauge import call_context
from streamgauge.calls import Call
from streamgauge.testing import Recorder


def finished(recorder: Recorder) -> str:
    call = Call.start(recorder, provider="local")
    call.finish()
    return call.call_id


def test_a_context_lists_its_calls_in_order() -> None:
    recorder = Recorder()
    with streamgauge.context("triage") as inside:
        ids = [finished(recorder), finished(recorder)]
    assert list(inside.call_ids) == ids == [event["call_id"] for event in recorder.events]
    assert inside.last_call_id == ids[-1]


def test_a_call_belongs_to_enclosing_contexts_too() -> None:
    recorder = Recorder()
    with streamgauge.context("outer") as outer:
        first = finished(recorder)
        with streamgauge.context("inner") as inner:
            second = finished(recorder)
    assert (list(outer.call_ids), list(inner.call_ids)) == ([first, second], [second])


def test_an_unfinished_call_is_not_listed() -> None:
    with streamgauge.context("triage") as inside:
        call = Call.start(Recorder(), provider="local")
        assert inside.last_call_id == ""
        call.finish()
    assert list(inside.call_ids) == [call.call_id]


def test_the_root_context_keeps_no_call_ids() -> None:
    finished(Recorder())
    assert not call_context.current().call_ids


def test_the_number_of_call_ids_is_bounded() -> None:
    recorder = Recorder()
    with streamgauge.context("triage") as inside:
        last = [finished(recorder) for _ in range(call_context.MAX_CALL_IDS + 1)][-1]
    assert len(inside.call_ids) == call_context.MAX_CALL_IDS
    assert inside.call_ids[-1] == last
