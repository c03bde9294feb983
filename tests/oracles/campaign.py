"""`agents.campaign.minhash` in plain Python, to be read and to be tested against; far too slow to run."""

from __future__ import annotations

from agents.campaign.minhash import LANES
from tests.oracles.hashing import fold, grams, mix, words

_M = 0xFFFFFFFF


def sign(text: str) -> list[int]:
    """Return the signature of a text."""
    folded = fold(text)
    features = {*grams(folded), *words(folded)[::2]}
    if not features:
        return [0] * LANES
    return [min(mix(f * 0x9E3779B1 + (lane + 1) * 0x85EBCA6B & _M) for f in features) & 0xFF for lane in range(LANES)]


def nearest(signature: list[int], tenant: int, signatures: list[list[int]], tenants: list[int]) -> tuple[int, int]:
    """Return the index of the most similar signature of a tenant and the lanes that agree; -1, -1 without any."""
    agree = [
        sum(a == b for a, b in zip(signature, other, strict=True)) if whose == tenant else -1
        for other, whose in zip(signatures, tenants, strict=True)
    ]
    most = max(agree, default=-1)
    return (agree.index(most), most) if most >= 0 else (-1, -1)
