"""Versions of what was learned: kept, named by their content, written to files and read from them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.common.state_validation import counts, text, texts, time_ms
from schemas.errors import StateError
from schemas.learning import Signal, WeightsFile

SHIPPED = "shipped"
_ARRAYS = ("counts", "features", "moves")


@dataclass(frozen=True, slots=True)
class Version:
    """Weights at one moment.

    Attributes
    ----------
    name
        First 12 hexadecimal digits of the digest of the moves; `SHIPPED` where there are none.
    created_ms
        Event time.
    labels
        Labels learned until then.
    reason
        ``labels`` (so many were learned), ``before rollback``, ``before import``, ``imported``.
    quality
        Live quality over all places at that time, by estimator.
    weights
        As `agents.learning.deltas.Moves.weights` gives them; not to be written.
    """

    name: str
    created_ms: int
    labels: int
    reason: str
    quality: Sequence[Mapping[str, Any]]
    weights: Mapping[str, Any]


def name_of(weights: Mapping[str, Any]) -> str:
    """Return the name of weights: the same weights have the same wherever they are."""
    if not len(weights["features"]):
        return SHIPPED
    digest = hashlib.blake2b("\x1f".join(weights["tenants"]).encode("utf-8", "surrogatepass"), digest_size=6)
    for part in _ARRAYS:
        digest.update(_little(weights[part]).tobytes())
    return digest.hexdigest()


def _little(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("<"))


class Versions:
    """The last ``size`` versions, oldest forgotten first; one that is kept again moves to the end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[str, Version] = {}

    def __iter__(self) -> Iterator[Version]:
        return iter(self._kept.values())

    def keep(self, version: Version) -> None:
        """Remember a version; weights without moves need no remembering."""
        if version.name == SHIPPED:
            return
        self._kept.pop(version.name, None)
        self._kept[version.name] = version
        if len(self._kept) > self.size:
            self._kept.pop(next(iter(self._kept)))

    def find(self, name: str) -> Version | None:
        """Return a version; None if it is not, or no longer, kept."""
        return self._kept.get(name)

    def state(self) -> list[Any]:
        """Rows, oldest first; arrays are copies."""
        return [
            {
                "created_ms": v.created_ms,
                "labels": v.labels,
                "reason": v.reason,
                "quality": [dict(q) for q in v.quality],
                "weights": {
                    "tenants": list(v.weights["tenants"]), **{n: np.array(v.weights[n]) for n in _ARRAYS}
                },
            }
            for v in self._kept.values()
        ]  # fmt: skip

    def restore(self, state: Any) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        self._kept = {}
        for row in state:
            quality = [dict(q) for q in row["quality"]]
            weights = {"tenants": list(row["weights"]["tenants"]), **{n: np.array(row["weights"][n]) for n in _ARRAYS}}
            created, labels = int(row["created_ms"]), int(row["labels"])
            time_ms(created)
            counts(labels)
            texts(q["estimator"] for q in quality)
            self.keep(Version(name_of(weights), created, labels, text(row["reason"]), quality, weights))


def to_file(version: Version, signal: Signal, base: str) -> WeightsFile:
    """Return a version as it is written to a file."""
    weights = version.weights
    features, moves = (_little(weights[name]).tobytes() for name in ("features", "moves"))
    return WeightsFile(
        signal=signal,
        base=base,
        version=version.name,
        created_at=datetime.fromtimestamp(version.created_ms / 1000, UTC),
        labels=version.labels,
        tenants=tuple(weights["tenants"]),
        counts=tuple(weights["counts"].tolist()),
        features=base64.b64encode(features).decode(),
        moves=base64.b64encode(moves).decode(),
        sha256=hashlib.sha256(features + moves).hexdigest(),
    )


def from_file(file: WeightsFile) -> dict[str, Any]:
    """Return the weights in a file.

    Raises
    ------
    StateError
        If they are damaged: checksum, name and content must agree.
    """
    try:
        features, moves = (base64.b64decode(part, validate=True) for part in (file.features, file.moves))
    except binascii.Error as error:
        raise StateError(f"weights {file.version}: {error}; export them again") from error
    if hashlib.sha256(features + moves).hexdigest() != file.sha256 or len(features) % 4 or len(moves) % 4:
        raise StateError(f"weights {file.version}: the checksum differs; export them again", code="checksum")
    weights = {
        "tenants": list(file.tenants),
        "counts": np.array(file.counts, np.int64),
        "features": np.frombuffer(features, "<i4").astype(np.int32),
        "moves": np.frombuffer(moves, "<i4").astype(np.int32),
    }
    if name_of(weights) != file.version:
        raise StateError(f"weights {file.version}: the content is that of {name_of(weights)}; export them again")
    return weights
