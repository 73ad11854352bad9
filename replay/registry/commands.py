"""`limelight models`: what was trained, who is champion, and who challenges."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from limelight.replay.registry.records import Change
    from limelight.replay.registry.registry import Registry, Version

models_app = typer.Typer(
    help="Networks: the registry of those trained, and which one the running engines use.",
    no_args_is_help=True,
)

NetworkName = Annotated[
    str,
    typer.Argument(
        help="A version of the registry, or a folder that save_pretrained wrote, where every"
        " engine can read it; with a registry it is registered first.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why; it stays in the registry's history.")]


@models_app.command("list")
def list_versions(
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, as one JSON object.")
    ] = False,
) -> None:
    """List the registry's versions, the oldest first, and who has which role."""
    registry = _registry()
    change, versions = registry.pointers(), registry.versions()
    if as_json:
        found = {
            "pointers": change.model_dump(mode="json"),
            "versions": [_as_json(each) for each in versions],
            "unfinished": registry.unfinished(),
        }
        typer.echo(json.dumps(found, indent=2))
        return
    for version in versions:
        typer.echo(_line(version, _role(change, version.name)))
    for name in registry.unfinished():
        typer.echo(f"{name}  unfinished: registering it again completes it")
    if not versions:
        typer.echo(f"{registry.root}: no version yet")


@models_app.command()
def show(
    version: Annotated[str, typer.Argument(help="One version; without it, both pointers.")] = "",
) -> None:
    """Show a version with its origin and figures, or who has which role here and in the engines."""
    if version:
        typer.echo(json.dumps(_as_json(_registry().version(version)), indent=2))
        return
    if (registry := _registry_or_none()) is not None:
        change = registry.pointers()
        for role in ("champion", "challenger"):
            typer.echo(f"registry: {role}: {change.version(role) or 'none'}")
        if change.number:
            typer.echo(f"registry: change {change.number}: {change.action}, {change.reason}")
    asyncio.run(_show_told())


@models_app.command()
def history() -> None:
    """List every change of the pointers with its reason."""
    for change in _registry().history():
        champion, challenger = change.champion or "none", change.challenger or "none"
        typer.echo(
            f"{change.number}  {_time(change.at_ms)}  {change.action}: champion {champion},"
            f" challenger {challenger}  {change.reason}"
        )


@models_app.command()
def register(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    note: Annotated[str, typer.Option(help="Where it comes from.")] = "",
) -> None:
    """Copy a network into the registry under its model version."""
    typer.echo(_registered(_registry(), folder, note))


@models_app.command()
def promote(network: NetworkName, reason: Reason = "by hand") -> None:
    """Make a network the champion: engines load it, let it catch up, and change over."""
    _give_role("champion", network, lambda now, version: now.promoted(version, reason))


@models_app.command()
def challenge(network: NetworkName, reason: Reason = "by hand") -> None:
    """Let a network score beside the champion; its CTR goes into each score's `shadow`."""
    _give_role("challenger", network, lambda now, version: now.challenged(version, reason))


@models_app.command()
def withdraw(
    role: Annotated[
        str, typer.Argument(help="champion (back to the settings' model) or challenger")
    ],
    reason: Reason = "by hand",
) -> None:
    """Take the role from whoever has it."""
    from limelight.streams.model_topic import ROLES, point
    from limelight.streams.settings import settings

    known = next((each for each in ROLES if each == role), None)
    if known is None:
        raise ValueError(f"role: found {role!r}, expected one of {', '.join(ROLES)}")
    if (registry := _registry_or_none()) is None:
        asyncio.run(point(settings().kafka, known, None))
    else:
        _change(
            registry,
            lambda now: (
                now.promoted(None, reason) if role == "champion" else now.challenged(None, reason)
            ),
        )
    typer.echo(f"{role}: none")


@models_app.command()
def rollback(reason: Reason = "by hand") -> None:
    """Make the champion before this one the champion again."""
    change = _change(_registry(), lambda now: now.rolled_back(reason))
    typer.echo(f"champion: {change.champion or 'none: engines use LIMELIGHT_ENGINE_MODEL'}")


@models_app.command()
def announce() -> None:
    """Tell the engines again what the registry says."""
    from limelight.replay.registry.announcement import announce as tell
    from limelight.streams.settings import settings

    change = asyncio.run(tell(_registry(), settings().kafka, again=True))
    typer.echo(f"champion: {change.champion or 'none'}, challenger: {change.challenger or 'none'}")


@models_app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A version of the registry.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
) -> None:
    """Put the registered figures of two versions beside each other (`evaluate` measures anew)."""
    registry = _registry()
    one, two = registry.version(first), registry.version(second)
    ours, theirs = _figures(one.metrics), _figures(two.metrics)
    names = [name for name in ours if name in theirs]
    names += [name for name in (*ours, *theirs) if name not in names]
    width = max([len(name) for name in names], default=0)
    typer.echo(f"{'':{width}}  {first}  {second}")
    for name in names:
        values = [each.get(name) for each in (ours, theirs)]
        shown = ["-" if value is None else f"{value:.4g}" for value in values]
        change = "" if None in values else f"{values[1] - values[0]:+.4g}"  # type: ignore[operator]
        columns = [
            f"{value:>{len(label)}}" for value, label in zip(shown, (first, second), strict=True)
        ]
        typer.echo(f"{name:{width}}  {'  '.join(columns)}  {change}")
    for field in ("source", "start_ms", "end_ms", "code", "parent"):
        values = [getattr(each.lineage, field) for each in (one, two)]
        if values[0] != values[1]:
            typer.echo(f"{field}: {values[0]} / {values[1]}")


def _give_role(role: str, network: str, change: "Callable[[Change, str], Change]") -> None:
    from limelight.engine.network import load_network
    from limelight.streams.model_topic import ROLES, ModelPointer, point
    from limelight.streams.settings import settings

    registry = _registry_or_none()
    if registry is not None:
        version = _registered(registry, Path(network), "") if Path(network).is_dir() else network
        _change(registry, lambda now: change(now, version))
        typer.echo(f"{role}: {version}")
        return
    if not Path(network).is_dir():
        raise ValueError(
            f"network: found no folder {network}, expected one, or LIMELIGHT_REGISTRY_ROOT"
            " to say which registry has that version"
        )
    # Read here first: what cannot be loaded is refused before any engine hears of it.
    found = load_network(network).config.model_version
    known = next(each for each in ROLES if each == role)
    pointer = ModelPointer(version=found, folder=str(Path(network).resolve()))
    asyncio.run(point(settings().kafka, known, pointer))
    typer.echo(f"{role}: {found}  {pointer.folder}")


def _change(registry: "Registry", make: "Callable[[Change], Change]") -> "Change":
    """Change the pointers and tell the engines."""
    from aiokafka.errors import KafkaError

    from limelight.engine.errors import LimelightError
    from limelight.replay.registry.announcement import announce as tell
    from limelight.streams.settings import settings

    change = registry.change(make)
    try:
        asyncio.run(tell(registry, settings().kafka))
    except (KafkaError, LimelightError, OSError) as error:
        raise LimelightError(
            f"{registry.root}: the registry has changed, but the engines were not told ({error});"
            " `limelight models announce` tells them"
        ) from error
    return change


def _registered(registry: "Registry", folder: Path, note: str) -> str:
    from limelight.engine.network import load_network
    from limelight.replay.registry.code_version import code_version
    from limelight.replay.registry.records import Lineage

    version: str = load_network(folder).config.model_version
    lineage = Lineage(code=code_version(), note=note or f"registered from {folder.name}")
    return registry.register(folder, version, metrics={}, lineage=lineage).name


def _registry_or_none() -> "Registry | None":
    from limelight.replay.registry.registry import Registry
    from limelight.streams.settings import settings

    root = settings().registry.root
    return Registry(root) if root else None


def _registry() -> "Registry":
    registry = _registry_or_none()
    if registry is None:
        raise ValueError(
            "registry: found none, expected LIMELIGHT_REGISTRY_ROOT to be a folder or URL"
        )
    return registry


async def _show_told() -> None:
    from limelight.streams.model_topic import ROLES, latest, open_model_topic
    from limelight.streams.settings import settings

    async with open_model_topic(settings().kafka) as topic:
        pointers = latest(await topic.to_its_end())
    for role in ROLES:
        pointer = pointers.get(role)
        nobody = "none: engines use LIMELIGHT_ENGINE_MODEL" if role == "champion" else "none"
        typer.echo(f"{role}: {f'{pointer.version}  {pointer.folder}' if pointer else nobody}")


def _role(change: "Change", version: str) -> str:
    if version == change.champion:
        return "champion"
    if version == change.challenger:
        return "challenger"
    return "former champion" if version in change.previous else ""


def _line(version: "Version", role: str) -> str:
    lineage, figures = version.lineage, _figures(version.metrics)
    parts = [version.name, _time(version.manifest.created_at_ms)]
    if "tau" in figures:
        parts.append(f"tau {figures['tau']:.3f}")
    if lineage.start_ms is not None and lineage.end_ms is not None:
        parts.append(f"data {_time(lineage.start_ms)} to {_time(lineage.end_ms)}")
    if lineage.parent:
        parts.append(f"from {lineage.parent}")
    return "  ".join([*parts, role]).rstrip()


def _as_json(version: "Version") -> dict[str, Any]:
    return {
        "version": version.name,
        "created_at_ms": version.manifest.created_at_ms,
        "metrics": version.metrics,
        "data": version.lineage.model_dump(mode="json"),
        "files": {
            name: file.model_dump(mode="json", exclude={"schema_"})
            for name, file in version.manifest.files.items()
        },
    }


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    """The plain numbers among the metrics."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _time(time_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
