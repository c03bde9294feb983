"""Hostile OTLP bodies: ``python -m tests.property.fuzz_otlp [COUNT] [FIRST]``.

Each is a real export request, mutated (`tests.mutations`), read as spans and as logs; after them the bombs: 16 MB of
what is smallest on the wire and largest in memory. Exit 1 where one was not answered: any exception but a
`RecordError`, or an event that is not valid. Says how long the slowest took and how far memory grew.
"""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from tests.mutations import bombs, mutated
from tests.otlp_answers import answered, bodies


def main() -> int:
    count, first = (int(a) for a in (*sys.argv[1:3], *("100000", "0")[len(sys.argv) - 1 :]))
    real = bodies()
    fuzzed = _run((f"body {n}", partial(mutated, n, real)) for n in range(first, first + count))
    bombed = _run((name, partial(bytes, raw)) for name, raw in bombs().items())
    return fuzzed or bombed


def _run(named: Iterable[tuple[str, Callable[[], bytes]]]) -> bool:
    """Read bodies, print what came of them; True if one was not answered."""
    answers: Counter[str] = Counter()
    unanswered: list[str] = []
    slowest, done = (0.0, ""), 0
    before, begin = _resident_mb(), time.perf_counter()
    for name, make in named:
        raw = make()
        started = time.perf_counter()
        try:
            answered(raw, answers)
        except Exception as error:  # noqa: BLE001 - any is a finding, told with its number
            unanswered.append(f"{name}: {error!r}"[:300])
        done += 1
        slowest = max(slowest, (time.perf_counter() - started, name))
    print(f"{done:,} bodies in {time.perf_counter() - begin:.0f} s, each read as spans and as logs")
    print(", ".join(f"{kind}: {n:,}" for kind, n in sorted(answers.items())))
    print(f"slowest: {slowest[1]}, {slowest[0] * 1e3:.0f} ms")
    print(f"memory: {before:.0f} MB before, {_resident_mb():.0f} MB at most")
    print("\n".join([*unanswered[:20], f"not answered: {len(unanswered)}"]))
    return bool(unanswered or answers["no reason"])


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
