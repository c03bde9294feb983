"""Bytewax: its Kafka source (default batches of 1,000 records) and a batch operator, as its docs recommend."""

from __future__ import annotations

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
from throughput_probe import arguments

broker, topic, probe = arguments()


class DiscardingPartition(StatelessSinkPartition):
    def write_batch(self, items: list[object]) -> None:
        pass


class DiscardingSink(DynamicSink):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> DiscardingPartition:  # noqa: ARG002 - the signature is Bytewax's
        return DiscardingPartition()


def decode(batch: list[KafkaSourceMessage]) -> list[object]:
    probe.start()
    out = [orjson.loads(message.value) for message in batch]
    probe.add(len(batch))
    return out


flow = Dataflow("bench")
records = op.input("in", flow, KafkaSource([broker], [topic], tail=False))
op.output("out", op.flat_map_batch("decode", records, decode), DiscardingSink())
run_main(flow)
