"""Versions of learned weights: named by their content, kept for rollback, exported to and imported from files."""

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

from agents.common.state_validation import expect_counts, expect_text, expect_texts, expect_times_ms
from schemas.errors import StateError
from schemas.learning import Signal, WeightsFile

SHIPPED = "shipped"
_ARRAYS = ("counts", "features", "moves")


@dataclass(frozen=True, slots=True)
class WeightVersion:
    """Learned weights at one point in time.

    Attributes
    ----------
    name
        First 12 hexadecimal digits of the digest of the deltas; `SHIPPED` for weights without deltas.
    created_ms
        Event time of the version.
    labels
        Number of labels learned up to this version.
    reason
        ``labels`` (enough labels were learned), ``before rollback``, ``before import`` or ``imported``.
    quality
        Live quality over all scopes at that time, by estimator.
    weights
        Weights as returned by `agents.learning.deltas.WeightDeltas.weights`; read-only.
    """

    name: str
    created_ms: int
    labels: int
    reason: str
    quality: Sequence[Mapping[str, Any]]
    weights: Mapping[str, Any]


def version_name(weights: Mapping[str, Any]) -> str:
    """Return the name of weights; equal weights have equal names on every installation."""
    if not len(weights["features"]):
        return SHIPPED
    digest = hashlib.blake2b("\x1f".join(weights["tenants"]).encode("utf-8", "surrogatepass"), digest_size=6)
    for name in _ARRAYS:
        digest.update(_little_endian(weights[name]).tobytes())
    return digest.hexdigest()


def _little_endian(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("<"))


class VersionHistory:
    """The last ``size`` versions, oldest first. Adding a known version again moves it to the end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._versions: dict[str, WeightVersion] = {}

    def __iter__(self) -> Iterator[WeightVersion]:
        return iter(self._versions.values())

    def add(self, version: WeightVersion) -> None:
        """Add a version. The shipped weights are not stored, because they are always available."""
        if version.name == SHIPPED:
            return
        self._versions.pop(version.name, None)
        self._versions[version.name] = version
        if len(self._versions) > self.size:
            self._versions.pop(next(iter(self._versions)))

    def get(self, name: str) -> WeightVersion | None:
        """Return a version by name; None if it is unknown or evicted."""
        return self._versions.get(name)

    def state(self) -> list[Any]:
        """Return one row per version, oldest first; arrays are copies."""
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
            for v in self._versions.values()
        ]  # fmt: skip

    def restore(self, state: Any) -> None:
        """Load a state; raise ValueError if it does not fit."""
        self._versions = {}
        for row in state:
            quality = [dict(q) for q in row["quality"]]
            weights = {"tenants": list(row["weights"]["tenants"]), **{n: np.array(row["weights"][n]) for n in _ARRAYS}}
            created_ms, labels = int(row["created_ms"]), int(row["labels"])
            expect_times_ms(created_ms)
            expect_counts(labels)
            expect_texts(q["estimator"] for q in quality)
            name, reason = version_name(weights), expect_text(row["reason"])
            self.add(WeightVersion(name, created_ms, labels, reason, quality, weights))


def to_file(version: WeightVersion, signal: Signal, base: str) -> WeightsFile:
    """Return a version as the content of a weights file."""
    weights = version.weights
    features, moves = (_little_endian(weights[name]).tobytes() for name in ("features", "moves"))
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
    """Return the weights in a weights file.

    Raises
    ------
    StateError
        If the file is damaged: checksum, name and content must agree.
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
    if version_name(weights) != file.version:
        raise StateError(f"weights {file.version}: the content is that of {version_name(weights)}; export them again")
    return weights
