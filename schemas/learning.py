"""What goes with learning: commands to the models, files of weights, requests for labels, rows of live quality."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.event import Contract, Finite, Id, Time

Signal = Literal["injection", "hallucination"]
VersionId = Annotated[str, Field(pattern=r"^(shipped|[0-9a-f]{12})$")]


class WeightsFile(Contract):
    """Learned weights of one signal, as ``streamgauge model export`` writes them and ``import`` reads them.

    They are moves away from the weights that ship, so they fit only an installation with the same ones (``base``).
    """

    format: Literal["streamgauge-weights"] = "streamgauge-weights"
    format_version: Literal[1] = 1
    signal: Signal
    base: str = Field(description="digest of the weights that these moves go from")
    version: VersionId = Field(description="digest of the moves")
    created_at: Time = Field(description="event time")
    labels: Annotated[int, Field(ge=0)] = Field(description="labels learned until then")
    tenants: tuple[str, ...] = Field((), description="those with moves of their own; the shared moves come first")
    counts: tuple[Annotated[int, Field(ge=0)], ...] = Field(description="moves of all, then of each tenant")
    features: str = Field(description="int32, little-endian, base64: which feature, table after table")
    moves: str = Field(description="the same: by how many 4096ths of a log odds")
    sha256: str = Field(description="of features and moves, unpacked")


class ModelCommand(Contract):
    """A command to the model of one partition, put into the log of the events so that replay obeys it as well.

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
    version: VersionId = Field(description="of rollback: to which; of import: that of the weights")
    weights: WeightsFile | None = None
    partition: Annotated[int, Field(ge=0)] = Field(0, description="of the events; replay of files goes by it")

    @model_validator(mode="after")
    def _import_has_weights(self) -> ModelCommand:
        if (self.action == "import") != (self.weights is not None):
            raise ValueError("weights go with action=import, and action=import needs weights")
        return self


class LabelRequest(Contract):
    """An event whose label is worth having (topic ``llm.label_requests``)."""

    event_id: str
    call_id: str
    time: Time
    tenant: str
    app: str
    conversation_id: str | None = None
    signal: Signal
    score: float = Field(description="as the event was scored")
    flag: bool
    probability: Annotated[float, Field(gt=0, le=1)] = Field(
        description="with which it was chosen; a rate over requested labels counts each 1 / probability times"
    )
    reason: Literal["uncertain", "new"] = Field(description="which of the two weighed more")
    source_partition: int
    source_offset: int


class QualityRow(Contract):
    """Live quality of one signal at one place, after a label (topic ``llm.quality``): absolute values, the last counts.

    Each event is judged before its label is learned (prequential); an older label counts less by a fading factor.
    """

    hour: Time = Field(description="of the event time at which the label was learned")
    signal: Signal
    tenant: str = Field(description="* for all")
    app: str = Field(description="* for all")
    estimator: Literal["observed", "inverse_propensity"] = Field(
        description="observed: all labels alike; inverse_propensity: requested labels, each counting 1 / probability"
    )
    source_partition: int
    version: int = Field(description="source offset of the label: the highest wins")
    weights: str = Field(description="version of the weights at that time")
    labels: int
    positives: int
    precision: Finite | None
    recall: Finite | None
    auc: Finite | None
    calibration_error: Finite | None
