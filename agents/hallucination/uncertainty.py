"""Doubt that needs no context: answers that disagree with each other, tokens that the model itself found unlikely."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any

import numpy as np
from numba import njit
from numpy import int64
from numpy.typing import NDArray

from agents.common.tenant_map import TenantLru
from agents.common.unicode_fold import mix
from agents.hallucination.numbers import code as number_code
from agents.hallucination.tokenizer import BITS, COLUMNS, CONTENT, DIGITS, NUMBER, POWER, SHIFT, STEM, words

Sketch = NDArray[np.uint64]
SKETCH = 16
WINDOW = 10
"""Tokens over which surprise is averaged."""
MOST_SURPRISE = 8.0
"""Nats per token; more counts as this."""
MAX_CHOICES = 8
MAX_CHARACTERS = 4096
_SALT, _NUMBER_SALT = 31, 32


@njit(cache=True, nogil=True)
def sketch(spans, codes, n, out):  # type: ignore[no-untyped-def]
    """Write the smallest hashes of a text's content stems and numbers (by value), ascending, 0 where there are fewer.

    References
    ----------
    Cohen, E., Kaplan, H. (2007). Summarizing data using bottom-k sketches. PODC.
    """
    size = 0
    for k in range(n):
        if not spans[k, BITS] & CONTENT:
            continue
        if spans[k, BITS] & NUMBER:
            code = mix(number_code(spans[k, DIGITS], spans[k, POWER] + spans[k, SHIFT]), _NUMBER_SALT)
        else:
            code = mix(codes[k, STEM], _SALT)
        if size == len(out) and code >= out[size - 1]:
            continue
        at = 0
        while at < size and out[at] < code:
            at += 1
        if at < size and out[at] == code:
            continue
        size = min(size + 1, len(out))
        for j in range(size - 1, at, -1):
            out[j] = out[j - 1]
        out[at] = code


@njit(cache=True, nogil=True)
def resemblance(a, b):  # type: ignore[no-untyped-def]
    """Estimate the Jaccard index of two texts from their sketches; 1 where both are empty."""
    i = j = both = seen = 0
    while seen < len(a):
        left, right = i < len(a) and a[i] != 0, j < len(b) and b[j] != 0
        if not left and not right:
            break
        seen += 1
        if left and right and a[i] == b[j]:
            both += 1
            i += 1
            j += 1
        elif not right or (left and a[i] < b[j]):
            i += 1
        else:
            j += 1
    return both / seen if seen else 1.0


@njit(cache=True, nogil=True)
def _sketch_of(buffer, out):  # type: ignore[no-untyped-def]
    spans, codes = np.empty((len(buffer) + 1, COLUMNS), np.int64), np.empty((len(buffer) + 1, 2), np.uint64)
    zero = int64(0)
    n, _ = words(buffer, zero, len(buffer), zero, zero, spans, codes)
    sketch(spans, codes, n, out)


def sketch_of(text: str) -> Sketch:
    """uint64[`SKETCH`] of a text, of which `MAX_CHARACTERS` are read."""
    out = np.zeros(SKETCH, np.uint64)
    _sketch_of(np.frombuffer(text[:MAX_CHARACTERS].encode("utf-8", "replace"), np.uint8), out)
    return out


def among(first: Sketch, others: Sequence[str]) -> float | None:
    """Mean disagreement, 0 to 1, of the first answer with other choices of the same call; None without any.

    Examples
    --------
    >>> round(among(sketch_of("It opened in 1932."), ["It was opened in 1932.", "It opened in 1947."]), 3)
    0.333

    References
    ----------
    Manakul, P., Liusie, A., Gales, M. (2023). SelfCheckGPT: zero-resource black-box hallucination detection for
    generative large language models. EMNLP. (Its n-gram variant, on sets of stems and numbers.)
    """
    told = [other for other in others[:MAX_CHOICES] if other]
    if not told:
        return None
    return 1.0 - sum(float(resemblance(first, sketch_of(other))) for other in told) / len(told)


def surprise(logprobs: Sequence[float]) -> tuple[float, float]:
    """Mean log-probability of the tokens, and of the window of `WINDOW` tokens where it is least.

    Examples
    --------
    >>> surprise([-0.1] * 20 + [-3.1] * 10)
    (-1.1, -3.1)

    References
    ----------
    Guerreiro, N. M., Voita, E., Martins, A. (2023). Looking for a needle in a haystack: a comprehensive study of
    hallucinations in neural machine translation. EACL. (Sequence log-probability as a detector.)
    """
    sums = np.concatenate(([0.0], np.cumsum(np.clip(logprobs, -1e6, 0.0))))
    size = min(WINDOW, len(logprobs))
    worst = float(np.min(sums[size:] - sums[:-size])) / size
    return round(float(sums[-1]) / len(logprobs), 6), round(worst, 6)


class Answers:
    """The last answer to each recent question, as sketches: the same question and context should get the same answer.

    Parameters
    ----------
    size
        Questions remembered, with a fair share for each tenant; the least recently asked are forgotten; 144 bytes
        each in a snapshot.

    Examples
    --------
    >>> answers = Answers(2)
    >>> key = question_key("acme", "support", [b"When did it open?", b"The bridge opened in 1932."])
    >>> [answers.disagreement("acme", key, sketch_of(said)) for said in ("In 1932.", "In 1947.")]
    [None, 1.0]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._known = TenantLru[bytes, Sketch](size)

    def __len__(self) -> int:
        return len(self._known)

    def disagreement(self, tenant: str, key: bytes, said: Sketch) -> float | None:
        """Compare with the answer before, 0 to 1, and remember this one; None for a new question."""
        before = self._known.get(tenant, key)
        if before is None:
            self._known.put(intern(tenant), key, said)
            return None
        self._known.replace(tenant, key, said)
        return 1.0 - float(resemblance(before, said))

    def state(self) -> dict[str, Any]:
        """Return arrays in the order of `TenantLru.items`."""
        keys = np.frombuffer(b"".join(self._known), np.uint64).reshape(-1, 2).copy()
        sketches = np.array(list(self._known.values()), np.uint64).reshape(-1, SKETCH)
        return {"keys": keys, "tenants": self._known.tenants(), "sketches": sketches}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys, sketches = np.array(state["keys"], np.uint64), np.array(state["sketches"], np.uint64)
        if keys.shape != (len(sketches), 2) or sketches.shape != (len(keys), SKETCH) or len(keys) > self.size:
            raise ValueError(f"answers of shape {keys.shape} and {sketches.shape}, at most {self.size}")
        self._known.restore(state["tenants"], (key.tobytes() for key in keys), sketches)


def question_key(tenant: str, app: str, parts: Sequence[bytes | memoryview]) -> bytes:
    """16 bytes that stand for a question of an application with its context."""
    digest = hashlib.blake2b(f"{tenant}\0{app}\0".encode("utf-8", "surrogatepass"), digest_size=16)
    for part in parts:
        digest.update(part)
        digest.update(b"\0")
    return digest.digest()
