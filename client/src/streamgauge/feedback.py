"""`send_feedback`: labels for published calls."""

from __future__ import annotations

from typing import Any

from streamgauge import call_context
from streamgauge.defaults import default_publisher
from streamgauge.guard import suppress_errors
from streamgauge.publisher import EventPublisher
from streamgauge.vocabulary import Signal, Source


def send_feedback(  # noqa: PLR0913 - keyword parameters, most of them optional
    *,
    call_id: str,
    signal: Signal,
    label: bool,
    source: Source = "annotator",
    conversation_id: str | None = None,
    user_id: str | None = None,
    comment: str = "",
    tenant: str | None = None,
    app: str | None = None,
    publisher: EventPublisher | None = None,
) -> bool:
    """Publish a label for a call. Never blocks, never raises.

    The label must reach the worker that scored the call. Its Kafka key is therefore that of the call's event: the
    ``conversation_id``, or tenant and app if the call had none. Pass the values that the call was published with;
    inside the same `context`, and with the same publisher, they are taken from there. A call from OpenTelemetry (its
    ``call_id`` is the trace id, a hyphen and the span id, in hex) is keyed by tenant and app alone.

    Parameters
    ----------
    call_id
        ``Call.call_id``, or the ``call_id`` of the event.
    signal, label
        ``signal="injection", label=True`` labels the call as an injection.
    source
        Origin of the label.
    comment
        Reason; the content mode applies to it.

    Returns
    -------
    bool
        ``False`` if the label was dropped, as `EventPublisher.publish`.
    """
    with suppress_errors("feedback"):
        publisher = publisher or default_publisher()
        context = call_context.current()
        feedback: dict[str, Any] = {
            "kind": "feedback",
            "call_id": call_id,
            "signal": signal,
            "label": label,
            "source": source,
            "conversation_id": conversation_id or context.conversation_id,
            "user_id": user_id or context.user_id,
            "comment": comment,
            "tenant": tenant or context.tenant,
            "app": app or context.app,
        }
        return publisher is not None and publisher.publish(feedback)
    return False
