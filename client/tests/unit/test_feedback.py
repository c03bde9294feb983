"""`send_feedback`."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from streamgauge import send_feedback
from unit.conftest import MakeRecorder, logged_reasons


def test_a_label_is_published(recorder: MakeRecorder) -> None:
    publisher = recorder()
    assert send_feedback(call_id="c1", signal="injection", label=True, source="thumbs", publisher=publisher)
    (label,) = publisher.feedback
    assert len(label.pop("feedback_id")) == 32
    assert label.pop("time").endswith("Z")
    assert label == {
        "kind": "feedback",
        "call_id": "c1",
        "signal": "injection",
        "label": True,
        "source": "thumbs",
        "conversation_id": None,
        "user_id": None,
        "comment": "",
        "tenant": "clinic",
        "app": "triage",
    }
    assert publisher.events == []


def test_feedback_takes_conversation_and_user_from_the_context(recorder: MakeRecorder) -> None:
    publisher = recorder()
    with streamgauge.context("p", conversation_id="conv", user_id="u", tenant="other"):
        send_feedback(call_id="c1", signal="hallucination", label=False, publisher=publisher)
    (label,) = publisher.feedback
    assert (label["conversation_id"], label["user_id"], label["tenant"]) == ("conv", "u", "other")


def test_labels_are_sampled_with_their_calls(recorder: MakeRecorder) -> None:
    publisher = recorder(sample_rate=0.5)
    for n in range(200):
        publisher.publish({"call_id": f"c{n}"})
        send_feedback(call_id=f"c{n}", signal="injection", label=True, publisher=publisher)
    assert {event["call_id"] for event in publisher.events} == {label["call_id"] for label in publisher.feedback}


def test_event_and_label_get_the_same_pseudonym(recorder: MakeRecorder) -> None:
    publisher = recorder(content="redacted")
    publisher.publish({"call_id": "c", "conversation_id": "jane@example.org"})
    send_feedback(
        call_id="c", signal="injection", label=True, conversation_id="jane@example.org", comment="a@b.io",
        publisher=publisher,
    )  # fmt: skip
    assert publisher.feedback[0]["conversation_id"] == publisher.events[0]["conversation_id"]
    assert publisher.feedback[0]["comment"] == "[email]"


@pytest.mark.parametrize(
    "wrong",
    [{"signal": "mood"}, {"label": "yes"}, {"source": "cat"}, {"call_id": ""}, {"call_id": None}, {"label": []}],
)
def test_an_invalid_label_is_dropped_and_logged(
    recorder: MakeRecorder, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    publisher = recorder()
    valid: dict[str, Any] = {"call_id": "c", "signal": "injection", "label": True}
    send_feedback(**(valid | wrong), publisher=publisher)
    assert publisher.feedback == []
    assert publisher.stats.dropped["invalid"] == 1
    assert logged_reasons(caplog) == ["dropped.invalid"]


def test_feedback_without_a_publisher_returns_false() -> None:
    assert not send_feedback(call_id="c", signal="injection", label=True)
