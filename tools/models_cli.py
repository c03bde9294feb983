"""The commands ``streamgauge model`` and ``streamgauge labels``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from schemas.errors import SettingsError
from schemas.learning import Signal
from schemas.settings import load_settings
from streams.runtime.terminal import Console, write_json
from tools.print_table import show

model_app = typer.Typer(
    no_args_is_help=True,
    help="Manage the model versions that the agents learned from labels.\n\n"
    "Each partition learns independently and keeps its latest versions; `streamgauge model list` shows them. After "
    "harmful labels, `streamgauge model rollback injection VERSION` restores that version with bit-equal scores, and "
    "`streamgauge model rollback injection shipped` restores the weights of the release. Exit codes: 0 success, "
    "2 unknown version or file, 3 Kafka unreachable.",
)
labels_app = typer.Typer(no_args_is_help=True, help="Show requested labels.")
console = Console()

SignalName = Annotated[Literal["injection", "hallucination"], typer.Argument(help="Signal of the model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Partition = Annotated[int | None, typer.Option(help="Partition of the events topic (default: all).")]


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        write_json(rows)
        return
    show(list(rows[0]) if rows else ["nothing"], [list(row.values()) for row in rows], console)


@model_app.command("list")
def model_list(
    signal: Annotated[str | None, typer.Option(help="Signal: injection or hallucination (default: both).")] = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of every partition: creation time, number of labels and quality of the scores."""
    from tools import model_registry

    versions = asyncio.run(model_registry.versions(load_settings(), _signal(signal)))
    _print([model_registry.summary(v) for v in versions], as_json=as_json)


@model_app.command("show")
def model_show(
    signal: SignalName,
    version: Annotated[str, typer.Argument(help="Version name or a prefix of it.")],
    partition: Partition = None,
) -> None:
    """Show a version as JSON: changed weights by tenant, and the live quality at that time."""
    from tools import model_registry

    versions = model_registry.pick(asyncio.run(model_registry.versions(load_settings(), signal)), version, partition)
    write_json([model_registry.describe(v) for v in versions])


@model_app.command("rollback")
def model_rollback(
    signal: SignalName,
    version: Annotated[str, typer.Argument(help="Version name or a prefix of it; `shipped` for the release weights.")],
    partition: Partition = None,
) -> None:
    """Roll back to a version with bit-equal scores; the replaced weights are kept, so the rollback can be undone."""
    from tools import model_registry

    settings = load_settings()
    partitions = range(settings.kafka.partitions) if partition is None else [partition]
    versions: list[model_registry.StoredVersion] = []
    if version != "shipped":
        versions = model_registry.pick(asyncio.run(model_registry.versions(settings, signal)), version, partition)
        version = versions[0].version.name
    commands = model_registry.rollback_commands(versions, signal, version, partitions)
    asyncio.run(model_registry.send(settings, commands))
    console.print(f"sent a rollback to {version} to {len(commands)} partition(s); check with: streamgauge model list")


@model_app.command("export")
def model_export(
    signal: SignalName,
    version: Annotated[str, typer.Argument(help="Version name or a prefix of it.")],
    out: Annotated[Path, typer.Option(help="Output file: JSON with a checksum.")],
    partition: Partition = None,
) -> None:
    """Export a version to a file, for another installation of this release."""
    from tools import model_registry

    versions = model_registry.pick(asyncio.run(model_registry.versions(load_settings(), signal)), version, partition)
    file = model_registry.export(versions[0], out)
    console.print(f"wrote {file.signal} {file.version}, {file.labels} labels, to {out}")


@model_app.command("import")
def model_import(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="File written by `streamgauge model export`.")
    ],
    partition: Partition = None,
) -> None:
    """Import weights from a file. The replaced weights are kept as a version."""
    from tools import model_registry

    settings = load_settings()
    weights = model_registry.read(file, settings)
    commands = model_registry.import_commands(
        weights, range(settings.kafka.partitions) if partition is None else [partition]
    )
    asyncio.run(model_registry.send(settings, commands))
    console.print(f"sent an import of {weights.signal} {weights.version} to {len(commands)} partition(s)")


@labels_app.command("next")
def labels_next(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of requests to show.")] = 20,
    signal: Annotated[str | None, typer.Option(help="Signal: injection or hallucination (default: both).")] = None,
    tenant: Annotated[str | None, typer.Option(help="Show requests of this tenant only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the events whose labels are most informative, each with its selection probability."""
    from tools import model_registry

    requests = asyncio.run(model_registry.pending_requests(load_settings().kafka, limit, _signal(signal), tenant))
    _print([r.model_dump(mode="json") for r in requests], as_json=as_json)


def _signal(name: str | None) -> Signal | None:
    from tools import model_registry

    if name is not None and name not in model_registry.signals():
        choices = ", ".join(model_registry.signals())
        raise SettingsError(f"--signal {name}: unknown signal; choose one of {choices}", "--signal", "unknown")
    return cast("Signal | None", name)
