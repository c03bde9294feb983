"""Quix Streams: its JSON deserializer (orjson) and one callback, with default settings."""

from __future__ import annotations

import tempfile
import uuid

from quixstreams import Application
from quixstreams.models import JSONDeserializer
from throughput_probe import arguments

broker, topic, probe = arguments()


class TimedDeserializer(JSONDeserializer):
    """Deserializer that marks the first record and then restores Quix's own method."""

    def __call__(self, value, ctx):
        probe.start()
        del TimedDeserializer.__call__
        return super().__call__(value, ctx)


app = Application(
    broker,
    consumer_group=uuid.uuid4().hex,
    auto_offset_reset="earliest",
    loglevel="WARNING",
    state_dir=tempfile.mkdtemp(),
)


def count(_value: object) -> None:
    if probe.add(1):
        app.stop()


app.dataframe(app.topic(topic, value_deserializer=TimedDeserializer())).update(count)
app.run()
