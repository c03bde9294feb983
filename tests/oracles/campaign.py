"""Plain Python reference of `agents.campaign.minhash`, for the property test; too slow for production."""

from __future__ import annotations

from agents.campaign.minhash import SIGNATURE_BYTES
from tests.oracles.hashing import fold, grams, mix, words

_M = 0xFFFFFFFF


def sign(text: str) -> list[int]:
    """Return the signature of a text."""
    folded = fold(text)
    features = {*grams(folded), *words(folded)[::2]}
    if not features:
        return [0] * SIGNATURE_BYTES
    return [
        min(mix(f * 0x9E3779B1 + (byte + 1) * 0x85EBCA6B & _M) for f in features) & 0xFF
        for byte in range(SIGNATURE_BYTES)
    ]


def nearest(signature: list[int], tenant: int, signatures: list[list[int]], tenants: list[int]) -> tuple[int, int]:
    """Return the index of the most similar signature of a tenant and the number of agreeing bytes; (-1, -1) if none."""
    agreeing = [
        sum(a == b for a, b in zip(signature, other, strict=True)) if owner == tenant else -1
        for other, owner in zip(signatures, tenants, strict=True)
    ]
    best = max(agreeing, default=-1)
    return (agreeing.index(best), best) if best >= 0 else (-1, -1)
