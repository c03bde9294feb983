"""Contracts of learning: model commands, weights files, label requests and rows of live quality."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.event import Contract, Finite, Id, Time

Signal = Literal["injection", "hallucination"]
VersionId = Annotated[str, Field(pattern=r"^(shipped|[0-9a-f]{12})$")]


class WeightsFile(Contract):
    """Learned weights of one signal, written by ``streamgauge model export`` and read by ``streamgauge model import``.

    The file holds differences from the shipped weights, so it fits only an installation with the same shipped weights
    (``base``).
    """

    format: Literal["streamgauge-weights"] = "streamgauge-weights"
    format_version: Literal[1] = 1
    signal: Signal
    base: str = Field(description="digest of the shipped weights that the differences apply to")
    version: VersionId = Field(description="digest of the differences")
    created_at: Time = Field(description="event time of this version")
    labels: Annotated[int, Field(ge=0)] = Field(description="number of labels learned up to this version")
    tenants: tuple[str, ...] = Field((), description="tenants with their own differences, after the shared ones")
    counts: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        description="number of differences: shared first, then of each tenant"
    )
    features: str = Field(description="feature index of each difference: int32, little-endian, base64")
    moves: str = Field(description="size of each difference in 1/4096 log odds: int32, little-endian, base64")
    sha256: str = Field(description="SHA-256 of the decoded features and moves")


class ModelCommand(Contract):
    """A command to the model of one partition, written to the event log so that a replay applies it too.

    Examples
    --------
    >>> ModelCommand(command_id="1", time="2026-01-01T00:00:00Z", action="rollback", signal="injection",
    ...              version="shipped").version
    'shipped'
    """

    kind: Literal["model"] = "model"
    command_id: Id
    time: Time
    action: Literal["rollback", "import"]
    signal: Signal
    version: VersionId = Field(description="rollback: the version to restore; import: the version of the weights")
    weights: WeightsFile | None = None
    partition: Annotated[int, Field(ge=0)] = Field(
        0, description="partition of the events that the command applies to; used by replay of files"
    )

    @model_validator(mode="after")
    def _import_has_weights(self) -> ModelCommand:
        if (self.action == "import") != (self.weights is not None):
            raise ValueError("weights: required with action=import and only allowed with it; set both or neither")
        return self


class LabelRequest(Contract):
    """A request to label an event (topic ``llm.label_requests``)."""

    event_id: str
    call_id: str
    time: Time
    tenant: str
    app: str
    conversation_id: str | None = None
    signal: Signal
    score: float = Field(description="score of the event")
    flag: bool
    probability: Annotated[float, Field(gt=0, le=1)] = Field(
        description="probability of the selection; weight each requested label by 1 / probability to estimate a rate"
    )
    reason: Literal["uncertain", "new"] = Field(
        description="uncertain: the score is near the threshold; new: the text has rarely seen features"
    )
    source_partition: int
    source_offset: int


class QualityRow(Contract):
    """Live quality of one signal in one scope, after a label (topic ``llm.quality``): absolute values, the latest wins.

    Each event is scored before its label is learned (prequential); older labels are weighted down by a decay factor.
    """

    hour: Time = Field(description="hour of event time in which the label was learned")
    signal: Signal
    tenant: str = Field(description="tenant; * for all")
    app: str = Field(description="app; * for all")
    estimator: Literal["observed", "inverse_propensity"] = Field(
        description="observed: all labels, weighted equally; inverse_propensity: requested labels, weighted by "
        "1 / probability"
    )
    source_partition: int
    version: int = Field(description="source offset of the label: the highest wins")
    weights: str = Field(description="version of the weights when the label was learned")
    labels: int
    positives: int
    precision: Finite | None
    recall: Finite | None
    auc: Finite | None
    calibration_error: Finite | None
