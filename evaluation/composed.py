"""Attacks put into harmless documents, tool answers and system prompts, of sources held out alike.

Public sets have hardly an attack in a tool answer and none in a system prompt. So short attacks of a fold's held-out
sources are put into hosts of the same fold's held-out sources, at the end of a line or a sentence, and ranked among the
same hosts as they were: what tells the two apart is the attack alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.splits import Row

HOST_ROLES = ("document", "tool", "system")
MOST = 400
"""Attacks composed for a role in a fold."""
LEAST_HOSTS = 20
_HOST, _ATTACK = (200, 3000), (20, 400)
"""Characters: hosts are cut to the longer, shorter ones are not taken."""


def compose(rows: Sequence[Row], seed: int) -> list[dict[str, Any]]:
    """Return attacks in hosts (label 1), each followed by its host (label 0); the source is ``composed:<role> <seed>``.

    Parameters
    ----------
    rows
        The test rows of a fold.
    seed
        Of the choice of hosts, attacks (each source as often as the others) and places.
    """
    attacks: dict[str, list[Row]] = {}
    for row in rows:
        if row["label"] and row["role"] == "user" and _ATTACK[0] <= len(row["text"]) <= _ATTACK[1]:
            attacks.setdefault(row["src"], []).append(row)
    made: list[dict[str, Any]] = []
    if not attacks:
        return made
    names = sorted(attacks)
    for role in HOST_ROLES:
        hosts = [r for r in rows if not r["label"] and r["role"] == role and len(r["text"]) >= _HOST[0]]
        if len(hosts) < LEAST_HOSTS:
            continue
        rng = np.random.default_rng((seed, HOST_ROLES.index(role)))
        for h in rng.permutation(len(hosts))[:MOST].tolist():
            source = attacks[names[int(rng.integers(len(names)))]]
            attack, host = source[int(rng.integers(len(source)))], hosts[h]["text"][: _HOST[1]]
            cut = seam(host, int(rng.integers(len(host))))
            base = {"src": f"composed:{role} {seed}", "role": role, "lang": hosts[h]["lang"]}
            made.append({**base, "text": f"{host[:cut]}{attack['text']}\n{host[cut:]}", "label": 1})
            made.append({**base, "text": host, "label": 0})
    return made


def seam(host: str, near: int) -> int:
    """Return where the line or sentence around ``near`` ends; the end of the host where none does.

    Examples
    --------
    >>> seam("One. Two. Three.", 6)
    10
    """
    ends = [at + len(end) for end in ("\n", ". ", "。") if (at := host.find(end, near)) >= 0]
    return min(ends, default=len(host))
