"""Attacks inserted into harmless documents, tool results and system prompts, all from held-out sources.

Public data sets have few attacks in tool results and none in system prompts. Short attacks of a fold's held-out sources
are therefore inserted into hosts of the same fold's held-out sources, at the end of a line or a sentence. They are
ranked among the same hosts without the attack, so that the attack is the only difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.splits import Row

HOST_ROLES = ("document", "tool", "system")
MAX_ATTACKS = 400
"""Maximum number of composed attacks per role and fold."""
MIN_HOSTS = 20
_HOST, _ATTACK = (200, 3000), (20, 400)
"""Minimum and maximum characters; longer hosts are truncated."""


def compose(rows: Sequence[Row], seed: int) -> list[dict[str, Any]]:
    """Return attacks in hosts (label 1), each followed by its host (label 0); the source is ``composed:<role> <seed>``.

    Parameters
    ----------
    rows
        Test rows of a fold.
    seed
        Seed for the choice of hosts, positions and attacks (each source with equal probability).
    """
    attacks: dict[str, list[Row]] = {}
    for row in rows:
        if row["label"] and row["role"] == "user" and _ATTACK[0] <= len(row["text"]) <= _ATTACK[1]:
            attacks.setdefault(row["src"], []).append(row)
    composed: list[dict[str, Any]] = []
    if not attacks:
        return composed
    names = sorted(attacks)
    for role in HOST_ROLES:
        hosts = [r for r in rows if not r["label"] and r["role"] == role and len(r["text"]) >= _HOST[0]]
        if len(hosts) < MIN_HOSTS:
            continue
        rng = np.random.default_rng((seed, HOST_ROLES.index(role)))
        for h in rng.permutation(len(hosts))[:MAX_ATTACKS].tolist():
            source = attacks[names[int(rng.integers(len(names)))]]
            attack, host = source[int(rng.integers(len(source)))], hosts[h]["text"][: _HOST[1]]
            cut = boundary_after(host, int(rng.integers(len(host))))
            base = {"src": f"composed:{role} {seed}", "role": role, "lang": hosts[h]["lang"]}
            composed.append({**base, "text": f"{host[:cut]}{attack['text']}\n{host[cut:]}", "label": 1})
            composed.append({**base, "text": host, "label": 0})
    return composed


def boundary_after(host: str, position: int) -> int:
    """Return the end of the line or sentence at ``position``, or the end of the host if there is none.

    Examples
    --------
    >>> boundary_after("One. Two. Three.", 6)
    10
    """
    ends = [at + len(end) for end in ("\n", ". ", "。") if (at := host.find(end, position)) >= 0]
    return min(ends, default=len(host))
