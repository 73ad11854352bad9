"""Writes the topics' section of docs/results.md: the paper's tables and figures on open data.

    python -m limelight.models.topics.tables DATA --clips CLIPS.safetensors

DATA holds `kuairand-pure`, `youtube-trending` and `bilibili-weekly`; clips are simulated ones.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from limelight.models.topics.tables_kuairand import costs_section, kuairand_section
from limelight.models.topics.tables_videos import videos_section

_RESULTS = Path("docs/results.md")


def main(
    data: Annotated[Path, typer.Argument(help="The folder of public data sets.")],
    clips: Annotated[
        Path | None, typer.Option(help="Simulated clips, as `limelight simulate clips` makes.")
    ] = None,
    results: Annotated[Path, typer.Option(help="The page to write into.")] = _RESULTS,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0.")] = 3,
    part: Annotated[str, typer.Option(help="videos, kuairand, costs, or all.")] = "all",
) -> None:
    """Measure, and write what was found between the markers of the topics."""
    parts: dict[str, Callable[[], str]] = {
        "videos": lambda: videos_section(data, clips, seeds=seeds),
        "kuairand": lambda: kuairand_section(data / "kuairand-pure", seeds=seeds),
        "costs": lambda: costs_section(data / "kuairand-pure"),
    }
    for name, section in parts.items():
        if part in (name, "all"):
            text = section()
            typer.echo(text)
            write_section(results, f"topics-{name}", text)


def write_section(page: Path, name: str, text: str) -> None:
    """Put the text between the page's markers of that name, or at its end.

    Raises:
        OSError: the page cannot be written.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n\n{text.strip()}\n\n{end}\n"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}\n", re.DOTALL)
    if between.search(old):
        new = between.sub(lambda _: section, old)
    else:
        new = f"{old.rstrip()}\n\n{section}"
    page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
