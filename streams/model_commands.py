"""`limelight models`: which network the engines score with, and which one challenges it."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

models_app = typer.Typer(
    help="The networks of all running engines: see them, promote one, let one challenge.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path,
    typer.Argument(
        help="A folder that save_pretrained wrote, where every engine can read it.",
        exists=True,
        file_okay=False,
    ),
]


@models_app.command()
def show() -> None:
    """Say which version has which role."""
    from limelight.streams.model_topic import ROLES, latest, open_model_topic
    from limelight.streams.settings import settings

    async def read() -> None:
        async with open_model_topic(settings().kafka) as topic:
            pointers = latest(await topic.to_its_end())
        for role in ROLES:
            pointer = pointers.get(role)
            nobody = "none: engines use LIMELIGHT_ENGINE_MODEL" if role == "champion" else "none"
            typer.echo(f"{role}: {f'{pointer.version}  {pointer.folder}' if pointer else nobody}")

    asyncio.run(read())


@models_app.command()
def promote(folder: Folder) -> None:
    """Make the network the champion: engines load it, let it catch up, and change over."""
    _point("champion", folder)


@models_app.command()
def challenge(folder: Folder) -> None:
    """Let the network score beside the champion; its CTR goes into each score's `shadow`."""
    _point("challenger", folder)


@models_app.command()
def withdraw(
    role: Annotated[
        str, typer.Argument(help="champion (back to the settings' model) or challenger")
    ],
) -> None:
    """Take the role from whoever has it."""
    from limelight.streams.model_topic import ROLES, point
    from limelight.streams.settings import settings

    known = next((each for each in ROLES if each == role), None)
    if known is None:
        raise ValueError(f"role: found {role!r}, expected one of {', '.join(ROLES)}")
    asyncio.run(point(settings().kafka, known, None))
    typer.echo(f"{role}: none")


def _point(role: str, folder: Path) -> None:
    from limelight.engine.network import load_network
    from limelight.streams.model_topic import ROLES, ModelPointer, point
    from limelight.streams.settings import settings

    # Read here first: what cannot be loaded is refused before any engine hears of it.
    version = load_network(folder).config.model_version
    known = next(each for each in ROLES if each == role)
    pointer = ModelPointer(version=version, folder=str(folder.resolve()))
    asyncio.run(point(settings().kafka, known, pointer))
    typer.echo(f"{role}: {version}  {pointer.folder}")
