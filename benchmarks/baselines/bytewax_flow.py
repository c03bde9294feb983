"""Bytewax: its Kafka source (1,000 records a batch, its default) and a batch operator, as its docs advise."""

from __future__ import annotations

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from throughput_probe import arguments

broker, topic, meter = arguments()


class Drop(StatelessSinkPartition):
    def write_batch(self, items: list[object]) -> None:
        pass


class Nowhere(DynamicSink):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Drop:  # noqa: ARG002 - Bytewax's signature
        return Drop()


def decode(batch: list[KafkaSourceMessage]) -> list[object]:
    meter.begin()
    out = [orjson.loads(message.value) for message in batch]
    meter.add(len(batch))
    return out


flow = Dataflow("bench")
records = op.input("in", flow, KafkaSource([broker], [topic], tail=False))
op.output("out", op.flat_map_batch("decode", records, decode), Nowhere())
run_main(flow)
