"""Every setting, in one frozen tree.

A YAML file (named by ``STREAMGAUGE_CONFIG``), then the environment (``STREAMGAUGE_KAFKA__BROKERS=...``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from schemas.errors import SettingsCode, SettingsError
from schemas.files import read_yaml
from schemas.renamed import ENV_PREFIX, new_setting, renamed_variables
from schemas.setting_sections import (
    AggregatesSettings,
    AlertsSettings,
    CampaignSettings,
    ClickHouseSettings,
    DriftSettings,
    IngestSettings,
    KafkaSettings,
    LearningSettings,
    PriceSettings,
    ReviewersSettings,
    SecuritySettings,
    SinkSettings,
    WorkerSettings,
)


class Settings(BaseSettings):
    """The tree."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__")

    kafka: KafkaSettings = KafkaSettings()
    worker: WorkerSettings = WorkerSettings()
    sink: SinkSettings = SinkSettings()
    ingest: IngestSettings = IngestSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    aggregates: AggregatesSettings = AggregatesSettings()
    alerts: AlertsSettings = AlertsSettings()
    drift: DriftSettings = DriftSettings()
    reviewers: ReviewersSettings = ReviewersSettings()
    learning: LearningSettings = LearningSettings()
    campaign: CampaignSettings = CampaignSettings()
    security: SecuritySettings = SecuritySettings()
    prices: dict[str, PriceSettings] = Field(
        {},
        description="price by model in US dollars per million tokens, for calls without cost_usd: "
        "`{gpt-x: {input: 1.25, cached: 0.125, output: 10}}`; JSON in the environment",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names them
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: arguments, environment, secrets, YAML."""
        sources = [init_settings, env_settings, file_secret_settings]
        if path := os.environ.get("STREAMGAUGE_CONFIG"):
            name = f"STREAMGAUGE_CONFIG={path}"
            found = read_yaml(Path(path), name)
            if not isinstance(found, dict | None):
                raise SettingsError(
                    f"{name}: holds no settings; write them as `kafka: {{brokers: ...}}`",
                    "STREAMGAUGE_CONFIG",
                    "malformed",
                    path=Path(path),
                )
            sources.append(InitSettingsSource(settings_cls, found or {}))
        return tuple(sources)


def iter_settings(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield every setting of a tree with the path of its names."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from iter_settings(field.annotation, here)
        else:
            yield here, field


def load_settings(**overrides: object) -> Settings:
    """Read the settings; raise `SettingsError` naming the field and the remedy."""
    # pydantic-settings ignores a variable whose first name is no field: one of a renamed part would have no effect.
    if renamed := renamed_variables(os.environ):
        told = "; ".join(f"{old}: renamed to {new}" for old, new in sorted(renamed.items()))
        first = min(renamed)
        raise SettingsError(f"settings: {told}", first, "renamed", suggestion=renamed[first])
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        field, code, suggestion = _location(error.errors()[0])
        told = "; ".join(map(_describe, error.errors()))
        raise SettingsError(f"settings: {told}", field, code, suggestion=suggestion) from error
    except SourceError as error:
        named = re.search(r'field "(\w+)"', str(error))
        field = named[1] if named else ""
        raise SettingsError(f"settings: {error}; in the environment its value is JSON", field, "malformed") from error


def _location(error: ErrorDetails) -> tuple[str, SettingsCode, str]:
    """Return field, code and suggestion of what is wrong with a setting."""
    field = ".".join(map(str, error["loc"]))
    known = [".".join(path) for path, _ in iter_settings(Settings)]
    if error["type"] == "extra_forbidden":
        if new := new_setting(field):
            return field, "renamed", new
        near = get_close_matches(field, known, n=1)
        return field, "unknown", near[0] if near else ""
    # A validator of a whole part names the setting itself, first of all.
    named = error["msg"].removeprefix("Value error, ").partition(":")[0]
    return named if named in known else field, "missing" if error["type"] == "missing" else "invalid", ""


def _describe(error: ErrorDetails) -> str:
    """Say what is wrong with a setting, and its value unless it may be a secret: a misspelt password is no password."""
    where = ".".join(map(str, error["loc"]))
    known = {".".join(path): field for path, field in iter_settings(Settings)}
    if error["type"] == "extra_forbidden":
        if new := new_setting(where):
            return f"{where}: renamed to {new}"
        near = get_close_matches(where, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"{where}: there is no such setting; {meant}docs/contracts/settings.md has all"
    # Of a whole part, or of what pydantic could not place, the value may hold a password.
    secret = where not in known or "SecretStr" in str(known[where].annotation)
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" + ("" if secret else f" (got {error['input']!r})")
