"""Uncertainty without a context: disagreement between answers, and surprisal of the model's own tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
"""Hashes in a sketch."""
WINDOW = 10
"""Tokens over which surprisal is averaged."""
MAX_SURPRISAL = 8.0
"""Maximum surprisal, in nats per token; larger values are clipped."""
MAX_CHOICES = 8
MAX_CHARACTERS = 4096
"""Characters of a choice that are read."""
_SALT, _NUMBER_SALT = 31, 32


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Uncertainty of one answer, independent of its context; the fields are those of `GroundingSignal`."""

    disagreement: float | None = None
    mean_logprob: float | None = None
    worst_logprob: float | None = None


@njit(cache=True, nogil=True)
def sketch(spans, codes, n, out):  # type: ignore[no-untyped-def]
    """Write the bottom-k sketch of a text: its smallest hashes of content stems and numbers (by value), ascending.

    Unused places of ``out`` are 0.

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
        position = 0
        while position < size and out[position] < code:
            position += 1
        if position < size and out[position] == code:
            continue
        size = min(size + 1, len(out))
        for j in range(size - 1, position, -1):
            out[j] = out[j - 1]
        out[position] = code


@njit(cache=True, nogil=True)
def jaccard(a, b):  # type: ignore[no-untyped-def]
    """Estimate the Jaccard index of two texts from their sketches; return 1 if both are empty."""
    i = j = shared = seen = 0
    while seen < len(a):
        left, right = i < len(a) and a[i] != 0, j < len(b) and b[j] != 0
        if not left and not right:
            break
        seen += 1
        if left and right and a[i] == b[j]:
            shared += 1
            i += 1
            j += 1
        elif not right or (left and a[i] < b[j]):
            i += 1
        else:
            j += 1
    return shared / seen if seen else 1.0


@njit(cache=True, nogil=True)
def _sketch_of(buffer, out):  # type: ignore[no-untyped-def]
    spans, codes = np.empty((len(buffer) + 1, COLUMNS), np.int64), np.empty((len(buffer) + 1, 2), np.uint64)
    zero = int64(0)
    n, _ = words(buffer, zero, len(buffer), zero, zero, spans, codes)
    sketch(spans, codes, n, out)


def sketch_of(text: str) -> Sketch:
    """Return the sketch, uint64[`SKETCH`], of the first `MAX_CHARACTERS` of a text."""
    out = np.zeros(SKETCH, np.uint64)
    _sketch_of(np.frombuffer(text[:MAX_CHARACTERS].encode("utf-8", "replace"), np.uint8), out)
    return out


def mean_disagreement(answer: Sketch, choices: Sequence[str]) -> float | None:
    """Return the mean disagreement, 0 to 1, of an answer with other choices of the call; None without a choice.

    Examples
    --------
    >>> round(mean_disagreement(sketch_of("It opened in 1932."), ["It was opened in 1932.", "It opened in 1947."]), 3)
    0.333

    References
    ----------
    Manakul, P., Liusie, A., Gales, M. (2023). SelfCheckGPT: zero-resource black-box hallucination detection for
    generative large language models. EMNLP. (Its n-gram variant, on sets of stems and numbers.)
    """
    texts = [choice for choice in choices[:MAX_CHOICES] if choice]
    if not texts:
        return None
    return 1.0 - sum(float(jaccard(answer, sketch_of(text))) for text in texts) / len(texts)


def token_surprisal(logprobs: Sequence[float]) -> tuple[float, float]:
    """Return the mean log-probability of all tokens, and of the `WINDOW` consecutive tokens with the lowest mean.

    Examples
    --------
    >>> token_surprisal([-0.1] * 20 + [-3.1] * 10)
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


class AnswerHistory:
    """Sketch of the last answer to each recent question: the same question and context should get the same answer.

    Parameters
    ----------
    size
        Maximum number of questions, with a fair share for each tenant; the least recently asked question is evicted.
        A question takes 144 bytes in a snapshot.

    Examples
    --------
    >>> history = AnswerHistory(2)
    >>> key = question_key("acme", "support", [b"When did it open?", b"The bridge opened in 1932."])
    >>> [history.disagreement("acme", key, sketch_of(answer)) for answer in ("In 1932.", "In 1947.")]
    [None, 1.0]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._answers = TenantLru[bytes, Sketch](size)

    def __len__(self) -> int:
        return len(self._answers)

    def disagreement(self, tenant: str, key: bytes, answer: Sketch) -> float | None:
        """Return the disagreement, 0 to 1, with the previous answer and store this answer; None for a new question."""
        previous = self._answers.get(tenant, key)
        if previous is None:
            self._answers.put(intern(tenant), key, answer)
            return None
        self._answers.replace(tenant, key, answer)
        return 1.0 - float(jaccard(previous, answer))

    def state(self) -> dict[str, Any]:
        """Return one array per field, in the order of `TenantLru.items`."""
        keys = np.frombuffer(b"".join(self._answers), np.uint64).reshape(-1, 2).copy()
        sketches = np.array(list(self._answers.values()), np.uint64).reshape(-1, SKETCH)
        return {"keys": keys, "tenants": self._answers.tenants(), "sketches": sketches}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raise ValueError if the state does not fit."""
        keys, sketches = np.array(state["keys"], np.uint64), np.array(state["sketches"], np.uint64)
        if keys.shape != (len(sketches), 2) or sketches.shape != (len(keys), SKETCH) or len(keys) > self.size:
            raise ValueError(
                f"answer history has keys {keys.shape} and sketches {sketches.shape}, "
                f"not (n, 2) and (n, {SKETCH}) with n at most {self.size}"
            )
        self._answers.restore(state["tenants"], (key.tobytes() for key in keys), sketches)


def question_key(tenant: str, app: str, parts: Sequence[bytes | memoryview]) -> bytes:
    """Return a 16-byte digest of an app's question with its context."""
    digest = hashlib.blake2b(f"{tenant}\0{app}\0".encode("utf-8", "surrogatepass"), digest_size=16)
    for part in parts:
        digest.update(part)
        digest.update(b"\0")
    return digest.digest()
