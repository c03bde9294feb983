"""`Recorder`: publisher for tests."""

from __future__ import annotations

import itertools
from typing import Any

import orjson

from streamgauge.publisher import EventPublisher
from streamgauge.transports import memory

_names = itertools.count()


class Recorder(EventPublisher):
    """Publisher into memory that uses every step except the network.

    Examples
    --------
    >>> recorder = Recorder(tenant="clinic", app="triage")
    >>> recorder.publish({"messages": [{"role": "user", "content": "hello"}]})
    True
    >>> recorder.events[0]["messages"][0]["content"]
    'hello'
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(f"memory://{next(_names)}", **({"linger_ms": 0} | settings))

    @property
    def events(self) -> list[dict[str, Any]]:
        """All published events, as they would be sent."""
        return self._sent("events")

    @property
    def feedback(self) -> list[dict[str, Any]]:
        """All published feedback."""
        return self._sent("feedback")

    def _sent(self, topic: str) -> list[dict[str, Any]]:
        self.flush()
        return [
            orjson.loads(record.value) for record in memory.sent.get(self.settings.url, ()) if record.topic == topic
        ]
