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
    help="What the agents learned from labels, by version.\n\n"
    "Each partition learns for itself and keeps its last versions. See them with `streamgauge model list`; if bad "
    "labels did harm, `streamgauge model rollback injection VERSION` brings back the very scores of that version, "
    "`... rollback injection shipped` those of the release. Exit codes: 0 done, 2 no such version or file, "
    "3 Kafka cannot be reached.",
)
labels_app = typer.Typer(no_args_is_help=True, help="Labels: which to give next.")
console = Console()

SignalName = Annotated[Literal["injection", "hallucination"], typer.Argument(help="injection or hallucination")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Partition = Annotated[int | None, typer.Option(help="of the events; all where none is given")]


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        write_json(rows)
        return
    show(list(rows[0]) if rows else ["nothing"], [list(row.values()) for row in rows], console)


@model_app.command("list")
def model_list(
    signal: Annotated[str | None, typer.Option(help="injection or hallucination; both where none is given")] = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of every partition: when, after how many labels, and how good the scores were then."""
    from tools import model_registry

    found = asyncio.run(model_registry.versions(load_settings(), _signal(signal)))
    _print([model_registry.summary(f) for f in found], as_json=as_json)


@model_app.command("show")
def model_show(
    signal: SignalName,
    version: Annotated[str, typer.Argument(help="its name or the first digits of it")],
    partition: Partition = None,
) -> None:
    """Show a version: how many weights moved, for which tenants, and the live quality at that time. JSON."""
    from tools import model_registry

    found = model_registry.pick(asyncio.run(model_registry.versions(load_settings(), signal)), version, partition)
    write_json([model_registry.describe(f) for f in found])


@model_app.command("rollback")
def model_rollback(
    signal: SignalName,
    version: Annotated[str, typer.Argument(help="its name or the first digits of it; shipped: that of the release")],
    partition: Partition = None,
) -> None:
    """Go back to a version: bit-equal scores. What is left is kept as a version, so this can be undone the same way."""
    from tools import model_registry

    settings = load_settings()
    every = range(settings.kafka.partitions) if partition is None else [partition]
    found: list[model_registry.Found] = []
    if version != "shipped":
        found = model_registry.pick(asyncio.run(model_registry.versions(settings, signal)), version, partition)
        version = found[0].version.name
    commands = model_registry.rollback_commands(found, signal, version, every)
    asyncio.run(model_registry.send(settings, commands))
    console.print(f"asked {len(commands)} partition(s) to go back to {version}; see: streamgauge model list")


@model_app.command("export")
def model_export(
    signal: SignalName,
    version: Annotated[str, typer.Argument(help="its name or the first digits of it")],
    out: Annotated[Path, typer.Option(help="the file to write: JSON, with a checksum")],
    partition: Partition = None,
) -> None:
    """Write a version to a file, for another installation of this release."""
    from tools import model_registry

    found = model_registry.pick(asyncio.run(model_registry.versions(load_settings(), signal)), version, partition)
    file = model_registry.export(found[0], out)
    console.print(f"wrote {file.signal} {file.version}, {file.labels} labels, to {out}")


@model_app.command("import")
def model_import(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="as export wrote it")],
    partition: Partition = None,
) -> None:
    """Put the weights in a file in the place of those learned here; these are kept as a version."""
    from tools import model_registry

    settings = load_settings()
    weights = model_registry.read(file, settings)
    commands = model_registry.import_commands(
        weights, range(settings.kafka.partitions) if partition is None else [partition]
    )
    asyncio.run(model_registry.send(settings, commands))
    console.print(f"asked {len(commands)} partition(s) to take {weights.signal} {weights.version}")


@labels_app.command("next")
def labels_next(
    limit: Annotated[int, typer.Option(min=1, help="most that are shown")] = 20,
    signal: Annotated[str | None, typer.Option(help="injection or hallucination; both where none is given")] = None,
    tenant: Annotated[str | None, typer.Option(help="of one tenant only")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the events whose labels are worth most now, each with the probability with which it was chosen."""
    from tools import model_registry

    found = asyncio.run(model_registry.wanted(load_settings().kafka, limit, _signal(signal), tenant))
    _print([r.model_dump(mode="json") for r in found], as_json=as_json)


def _signal(name: str | None) -> Signal | None:
    from tools import model_registry

    if name is not None and name not in model_registry.signals():
        raise SettingsError(
            f"--signal {name}: choose one of {', '.join(model_registry.signals())}", "--signal", "unknown"
        )
    return cast("Signal | None", name)
