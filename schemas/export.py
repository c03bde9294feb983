"""Generated reference documents: JSON Schemas, AsyncAPI, settings, rules.

``python -m schemas.export`` writes the documents to ``docs/contracts``; ``--check`` fails if they are stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from schemas.event import SCHEMA_VERSION, LLMEvent
from schemas.feedback import Feedback
from schemas.learning import LabelRequest, ModelCommand, QualityRow, WeightsFile
from schemas.outputs import Aggregate, Alert, DeadLetter, Scored, ShadowFinding, Verdict
from schemas.rules import Rule, load_rules
from schemas.settings import Settings, iter_settings

FOLDER = Path(__file__).parents[1] / "docs" / "contracts"

CHANNELS: dict[str, tuple[type[BaseModel], str, str]] = {
    "events": (LLMEvent, "receive", "key: tenant/app, or conversation_id if set and the call is not a span"),
    "feedback": (Feedback, "receive", "key: the key of the labelled event"),
    "scored": (Scored, "send", "partition number of the source"),
    "alerts": (Alert, "send", "key: fingerprint; compacted"),
    "aggregates": (Aggregate, "send", "key: window and segment"),
    "shadow": (ShadowFinding, "send", "key: fingerprint of the alert, or call_id"),
    "verdicts": (Verdict, "send", "key: the key of the event"),
    "quality": (QualityRow, "send", "key: signal, tenant, app, estimator, hour, source partition"),
    "label_requests": (LabelRequest, "send", "key: signal and call"),
    "dead_letters": (DeadLetter, "send", "key: source topic, partition and offset"),
}


def documents() -> dict[str, str]:
    """Return all documents as a mapping of file name to content."""
    models: list[type[BaseModel]] = [*(model for model, _, _ in CHANNELS.values()), ModelCommand, WeightsFile]
    files = {f"{m.__name__}.schema.json": _pretty(m.model_json_schema()) for m in models}
    return files | {
        "asyncapi.json": _pretty(asyncapi()),
        "settings.md": settings_reference(),
        "rules.md": rules_reference(),
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the topics."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for name, (model, action, about) in CHANNELS.items():
        title = model.__name__
        messages[title] = {"contentType": "application/json", "payload": {"$ref": f"./{title}.schema.json"}}
        reference = {"$ref": f"#/components/messages/{title}"}
        channels[name] = {"address": f"llm.{name}", "description": about, "messages": {title: reference}}
        operations[f"{action}-{name}"] = {"action": action, "channel": {"$ref": f"#/channels/{name}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "streamgauge", "version": str(SCHEMA_VERSION), "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def settings_reference() -> str:
    """Return the table of all settings."""
    rows = ["# Settings", "", "| setting | environment | default | description |", "|---|---|---|---|"]
    for path, field in iter_settings(Settings):
        default = None if field.default is PydanticUndefined or isinstance(field.default, SecretStr) else field.default
        shown, about = "" if default is None else f"`{default}`", field.description or ""
        rows.append(f"| {'.'.join(path)} | `STREAMGAUGE_{'__'.join(path).upper()}` | {shown} | {about} |")
    return "\n".join(rows) + "\n"


def rules_reference() -> str:
    """Return the fields of a rule and the built-in rules."""
    rows = [
        "# Alert rules",
        "",
        "Alert rules are read from the YAML file in the setting `alerts.rules_file`. The file replaces the built-in",
        "rules below (`schemas/default_rules.yaml`). Try a new file first with `streamgauge replay --diff`.",
        "",
        "```yaml",
        "rules:",
        "  - {name: slow, type: quantile, metric: latency_ms, q: 0.95, threshold: 5000, window_s: 600, app: triage}",
        "  - {name: attacks, type: event, metric: injection.score, threshold: 0.9, severity: critical}",
        "```",
        "",
        "| field | default | description |",
        "|---|---|---|",
    ]
    for name, field in Rule.model_fields.items():
        default = "" if field.is_required() or field.default in {None, ""} else f"`{field.default}`"
        rows.append(f"| {name} | {default} | {field.description or ''} |")
    rows += ["", "## The built-in rules", ""]
    rows += ["| name | type | metric | fires at | severity | description |", "|---|---|---|---|---|---|"]
    for rule in load_rules().rules:
        level = "" if rule.type == "change" else f"above {rule.threshold:g}"
        level = level if rule.below is None else f"below {rule.below:g}"
        kind = rule.type if rule.q is None else f"{rule.type} {rule.q}"
        rows.append(f"| {rule.name} | {kind} | `{rule.metric}` | {level} | {rule.severity} | {rule.description} |")
    return "\n".join(rows) + "\n"


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def stale() -> list[str]:
    """Return the names of documents that no longer match the models."""
    return [n for n, text in documents().items() if not (FOLDER / n).is_file() or (FOLDER / n).read_text() != text]


def main() -> int:
    """Write the documents; with ``--check`` compare them instead."""
    if "--check" in sys.argv:
        for name in stale():
            sys.stderr.write(f"docs/contracts/{name} is stale; run: make docs\n")
        return bool(stale())
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
