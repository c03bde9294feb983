"""Quix Streams: its JSON deserializer (orjson) and one callback, its defaults."""

from __future__ import annotations

import tempfile
import uuid

from throughput_probe import arguments
from quixstreams import Application
from quixstreams.models import JSONDeserializer

broker, topic, meter = arguments()


class Timed(JSONDeserializer):
    """Marks the first record; then Quix's own method stands in its place again."""

    def __call__(self, value, ctx):
        meter.begin()
        del Timed.__call__
        return super().__call__(value, ctx)


app = Application(
    broker,
    consumer_group=uuid.uuid4().hex,
    auto_offset_reset="earliest",
    loglevel="WARNING",
    state_dir=tempfile.mkdtemp(),
)


def count(_value: object) -> None:
    if meter.add(1):
        app.stop()


app.dataframe(app.topic(topic, value_deserializer=Timed())).update(count)
app.run()
