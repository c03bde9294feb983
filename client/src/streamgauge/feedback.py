"""`send_feedback`: what people and judges say of a call."""

from __future__ import annotations

from typing import Any

from streamgauge import call_context
from streamgauge.defaults import default_publisher
from streamgauge.guard import quiet
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

    A label has to reach the worker that judged the call: it is published under the key of the call's event, which is
    its ``conversation_id`` or, where it had none, its tenant and app. So give here what the call was published with;
    inside of the same `context`, and with the same publisher, nothing has to be given. A call that the monitor has from
    OpenTelemetry (``call_id`` is its trace id, a hyphen and its span id, in hex) goes by tenant and app alone.

    Parameters
    ----------
    call_id
        ``Call.call_id``, or the ``call_id`` of the event.
    signal, label
        What is said of it: ``signal="injection", label=True`` says that it was one.
    source
        Who says so.
    comment
        Why; the content mode applies to it.

    Returns
    -------
    bool
        ``False`` if it was dropped, as `EventPublisher.publish`.
    """
    with quiet("feedback"):
        publisher = publisher or default_publisher()
        now = call_context.current()
        made: dict[str, Any] = {
            "kind": "feedback",
            "call_id": call_id,
            "signal": signal,
            "label": label,
            "source": source,
            "conversation_id": conversation_id or now.conversation_id,
            "user_id": user_id or now.user_id,
            "comment": comment,
            "tenant": tenant or now.tenant,
            "app": app or now.app,
        }
        return publisher is not None and publisher.publish(made)
    return False
