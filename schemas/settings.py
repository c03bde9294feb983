"""The settings tree and its loading.

Settings come from a YAML file (``STREAMGAUGE_CONFIG`` is its path) and from the environment, which has precedence
(``STREAMGAUGE_KAFKA__BROKERS=...``).
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
    """The tree of all settings."""

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
        """Return the sources in order of precedence: arguments, environment, secrets, YAML."""
        sources = [init_settings, env_settings, file_secret_settings]
        if path := os.environ.get("STREAMGAUGE_CONFIG"):
            name = f"STREAMGAUGE_CONFIG={path}"
            content = read_yaml(Path(path), name)
            if not isinstance(content, dict | None):
                raise SettingsError(
                    f"{name}: not a mapping of settings; write settings as `kafka: {{brokers: ...}}`",
                    "STREAMGAUGE_CONFIG",
                    "malformed",
                    path=Path(path),
                )
            sources.append(InitSettingsSource(settings_cls, content or {}))
        return tuple(sources)


def iter_settings(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield the path and the field of each setting in a tree."""
    for name, field in model.model_fields.items():
        field_path = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from iter_settings(field.annotation, field_path)
        else:
            yield field_path, field


def load_settings(**overrides: object) -> Settings:
    """Read the settings; raise `SettingsError` with the field and the remedy."""
    # pydantic-settings ignores variables of unknown sections: a variable of a renamed section would have no effect.
    if renamed := renamed_variables(os.environ):
        problems = "; ".join(f"{old}: renamed to {new}" for old, new in sorted(renamed.items()))
        first = min(renamed)
        raise SettingsError(f"settings: {problems}", first, "renamed", suggestion=renamed[first])
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        field, code, suggestion = _classify(error.errors()[0])
        problems = "; ".join(map(_describe, error.errors()))
        raise SettingsError(f"settings: {problems}", field, code, suggestion=suggestion) from error
    except SourceError as error:
        named = re.search(r'field "(\w+)"', str(error))
        field = named[1] if named else ""
        raise SettingsError(
            f"settings: {error}; write the value of the variable as JSON", field, "malformed"
        ) from error


def _classify(error: ErrorDetails) -> tuple[str, SettingsCode, str]:
    """Return field, code and suggestion of an error in a setting."""
    field = ".".join(map(str, error["loc"]))
    known = [".".join(path) for path, _ in iter_settings(Settings)]
    if error["type"] == "extra_forbidden":
        if new := new_setting(field):
            return field, "renamed", new
        near = get_close_matches(field, known, n=1)
        return field, "unknown", near[0] if near else ""
    # The message of a validator of a whole section starts with the name of the setting.
    named = error["msg"].removeprefix("Value error, ").partition(":")[0]
    return named if named in known else field, "missing" if error["type"] == "missing" else "invalid", ""


def _describe(error: ErrorDetails) -> str:
    """Return one line with the setting, the problem and the value, unless the value may be a secret."""
    where = ".".join(map(str, error["loc"]))
    known = {".".join(path): field for path, field in iter_settings(Settings)}
    if error["type"] == "extra_forbidden":
        if new := new_setting(where):
            return f"{where}: renamed to {new}"
        near = get_close_matches(where, known, n=1)
        question = f"did you mean {near[0]}? " if near else ""
        return f"{where}: unknown setting; {question}see docs/contracts/settings.md for all settings"
    # The value of a whole section, or of an unknown path, may hold a password.
    secret = where not in known or "SecretStr" in str(known[where].annotation)
    return f"{where}: {error['msg'].removeprefix('Value error, ')}" + ("" if secret else f" (got {error['input']!r})")
