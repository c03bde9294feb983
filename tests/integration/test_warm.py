"""After `warm`, nothing is left to be compiled: a kernel that is met hours into a stream would stop it for seconds."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import orjson
from numba.core import event
from schemas.settings import Settings
from streams.assembly import build_pipeline
from streams.decode import decode_event, FEEDBACK_HEADER
from streams.warm import warm
from tests.traffic import lines

class Names(event.Listener):
    compiled = []
    def on_start(self, found):
        self.compiled.append(str(found.data["dispatcher"]))
    def on_end(self, found):
        pass

settings = Settings(drift={"reference_events": 60})
event.register("numba:compile", Names())
warm(settings)
warmed, Names.compiled[:] = len(Names.compiled), []
pipeline = build_pipeline(0, settings)
records = []
for raw in lines(600):
    records.append((len(records), decode_event(raw), raw))
    call = orjson.loads(raw)
    if len(records) % 20 == 0:
        label = {k: call[k] for k in ("call_id", "time", "tenant", "app")}
        for signal in ("injection", "hallucination"):
            label |= {"feedback_id": f"f{len(records)}", "kind": "feedback", "signal": signal, "label": True}
            given = orjson.dumps(label)
            records.append((len(records), decode_event(given, [FEEDBACK_HEADER]), given))
for k in range(0, len(records), 64):
    pipeline.process(records[k : k + 64])
print(len(pipeline.state()), pipeline.learned > 0, warmed > 0 or "from the cache", Names.compiled)
"""


def test_a_stream_compiles_nothing_after_warming() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(maxsplit=2)[1] == "True", done.stdout
    assert done.stdout.rstrip().endswith(" []"), done.stdout
