"""``python -m tests.property.fuzz_ingest 100000``: broken bodies over HTTP, each answered, beside some without end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable

import orjson
from confluent_kafka import Producer

from schemas.settings import Settings
from tests.ingest import Answer, Client, running
from tests.property.bodies import Request, request
from tests.security.http_attacks import UNFINISHED, peers, unfinished
from tests.traffic import lines
from tests.waiting import until

_AT_ONCE = 16
_GROWTH_MB = 400
_REFUSALS = frozenset({400, 408, 413, 415})
_BODY_BYTES = 2 << 20
_ATTACKERS = 4
_ATTACKER = "127.0.0.2"
"""An address of its own, so that it has a share of its own."""


def settings(brokers: str) -> Settings:
    """Return settings of a gateway with a bound on bodies that bombs are beyond and mutations are not."""
    ingest = {"port": 0, "body_bytes": _BODY_BYTES, "body_stall_s": 0.2, "requests_per_key": 32}
    return Settings.model_validate({"kafka": {"brokers": brokers, "topic_prefix": "fuzz"}, "ingest": ingest})


def check(sent: Request, answer: Answer) -> str:
    """Return a word for what became of a request; fail if it was neither taken nor told why not."""
    if sent.path in {"/v1/traces", "/v1/logs"}:
        assert answer.status == 200 or answer.status in _REFUSALS, (sent, answer)
        assert answer.status == 200 or answer.body, (sent, answer)
        return f"{sent.path} {answer.status}"
    told = answer.json
    if "accepted" not in told:
        assert answer.status in _REFUSALS, (sent, answer)
        assert told["error"], (sent, answer)
        return f"{sent.path} {answer.status} {told['reason']}"
    assert answer.status == (202 if told["accepted"] else 400), (sent, answer)
    assert len(told["problems"]) == min(told["rejected"], 1000), (sent, answer)
    assert all(p["error"] and p["reason"] in {"decode", "contract"} for p in told["problems"]), (sent, answer)
    return f"{sent.path} {answer.status}" + (" in part" if told["accepted"] and told["rejected"] else "")


async def fuzz(brokers: str, numbers: Iterable[int]) -> Counter[str]:
    """Post the requests of these numbers; return what became of them, by kind."""
    found: Counter[str] = Counter()
    turns = iter(numbers)
    async with running(settings(brokers)) as client:

        async def post() -> None:
            for number in turns:
                made = request(number)
                headers = {"content-encoding": made.encoding}
                answer = await client.post(made.path, made.body, made.content_type, **headers)
                found[check(made, answer)] += 1

        attacking = [asyncio.create_task(attack(client.server.port, number, found)) for number in range(_ATTACKERS)]
        await asyncio.gather(*(post() for _ in range(_AT_ONCE)))
        for task in attacking:
            task.cancel()
        for outcome in await asyncio.gather(*attacking, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome
        await still_well(client)
    return found


async def attack(port: int, seed: int, found: Counter[str]) -> None:
    """Send bodies that do not end, are huge or are left behind, until cancelled; count what became of them."""
    rng = random.Random(seed)
    while True:
        kind, size = rng.choice(UNFINISHED), rng.choice((2, 5_000, _BODY_BYTES, 8 * _BODY_BYTES))
        ending = rng.choice(("wait", "close", "half-close"))
        async with peers(port, 1, _ATTACKER) as (peer,):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await peer.send(*unfinished(kind, "", size))
                if ending == "half-close":
                    peer.half_close()
                if ending == "wait":
                    reply = await peer.reply()
                    # A pipelined request has been answered before the one that does not end.
                    assert reply.status in _REFUSALS | {429, 503}, reply
                    found[f"attack {kind} {reply.status}"] += 1
                    continue
        found[f"attack {kind} {ending}"] += 1


async def still_well(client: Client) -> None:
    """Fail if the gateway holds on to something, or takes no events any more."""
    await until(lambda: client.server.admission.budget.used == 0)
    assert (await client.post("/v1/events", b"\n".join(lines(10)))).json["accepted"] == 10


def peak_mb() -> float:
    """Return the most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(count: int) -> None:
    """Fuzz, and print what became of the bodies."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    address = f"{broker.host}:{broker.port}"
    asyncio.run(fuzz(address, range(500)))  # what a process needs at all
    before, begin = peak_mb(), time.perf_counter()
    found = asyncio.run(fuzz(address, range(count)))
    took, grown = time.perf_counter() - begin, peak_mb() - before
    shown = {
        "requests": found.total(),
        "seconds": round(took, 1),
        "peak_mb": round(peak_mb()),
        "grown_mb": round(grown),
    }
    sys.stdout.write(orjson.dumps(shown | {"became": dict(found.most_common())}, option=orjson.OPT_INDENT_2).decode())
    assert sum(number for kind, number in found.items() if not kind.startswith("attack")) == count
    assert grown < _GROWTH_MB, f"{grown:.0f} MB more than at its beginning"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
