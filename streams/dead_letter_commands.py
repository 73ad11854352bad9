"""`limelight dlq list|show|replay`: look at dead letters and put repaired ones back."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limelight.engine.errors import LimelightError

if TYPE_CHECKING:
    from limelight.streams.dead_letter_log import DeadLetter, DeadLetterLog
    from limelight.streams.settings import Settings

dlq_app = typer.Typer(
    help="Dead letters: what could not be read or delivered, and putting it back.",
    no_args_is_help=True,
)

LATE = "What belongs to a segment that has closed meanwhile is in `late`."

TopicFilter = Annotated[str, typer.Option(help="Only letters of this topic, without prefix.")]
ReasonFilter = Annotated[str, typer.Option(help="Only letters whose reason contains this.")]
RoomFilter = Annotated[str, typer.Option(help="Only letters of this room.")]


class NotReplayed(LimelightError):
    """Some letters were refused."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant; an empty text means any."""

    topic: str = ""
    reason: str = ""
    room: str = ""
    replayed: bool = False

    def __call__(self, letter: "DeadLetter") -> bool:
        return (
            self.topic in ("", letter.origin.topic)
            and self.reason.casefold() in letter.reason.casefold()
            and self.room in ("", letter.room_id)
            and (self.replayed or not letter.replayed)
        )


@dlq_app.command("list")
def list_letters(
    topic: TopicFilter = "",
    reason: ReasonFilter = "",
    room: RoomFilter = "",
    replayed: Annotated[
        bool, typer.Option("--replayed", help="Those that have been replayed as well.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List dead letters, each once."""
    found = asyncio.run(_list(_settings(), Wanted(topic, reason, room, replayed), limit))
    if as_json:
        for letter in found.letters:
            typer.echo(json.dumps(summary(letter), ensure_ascii=False))
        return
    _print_table(found.letters)
    hidden = found.matching - len(found.letters)
    more = f", {hidden} more (--limit)" if hidden else ""
    junk = f", {found.unreadable} records that are no letters" if found.unreadable else ""
    typer.echo(f"{len(found.letters)} dead letters{more}{junk}")


@dlq_app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Such as comments/3@1700.")],
    value: Annotated[
        bool, typer.Option("--value", help="Write the message itself to standard output.")
    ] = False,
) -> None:
    """Show one dead letter and its message."""
    letter = asyncio.run(_show(_settings(), letter_id))
    if value:
        sys.stdout.buffer.write(letter.value)
        sys.stdout.buffer.flush()
        return
    fields = summary(letter) | {"headers": dict(letter.headers)}
    typer.echo(json.dumps(fields, ensure_ascii=False, indent=2))
    try:
        typer.echo(printable(letter.value.decode()))
    except UnicodeDecodeError:
        typer.echo(f"(not text; `limelight dlq show '{letter.id}' --value > FILE` writes it)")


@dlq_app.command()
def replay(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Such as comments/3@1700.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every letter that the options choose.")
    ] = False,
    topic: TopicFilter = "",
    reason: ReasonFilter = "",
    value: Annotated[
        Path | None, typer.Option(help="Send this file's bytes instead, for one ID.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TEXT", help="Set a header, for one ID; again for each."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also what was replayed before or will be rejected again."),
    ] = False,
) -> None:
    """Send dead letters' messages to their topics again, repaired or as they were.

    A message that would only be rejected again is refused. What has been replayed is marked, and
    not sent a second time.
    """
    ids = letter_ids or []
    if bool(ids) == every:
        raise ValueError("dlq replay: found both or neither of ID and --all, expected one of them")
    if (value or header) and len(ids) != 1:
        raise ValueError(f"dlq replay: found {len(ids)} IDs, expected one for --value or --header")
    repair = Repair(value.read_bytes() if value else None, dict(map(_header, header or [])))
    wanted = Wanted(topic, reason, replayed=force or not every)
    asyncio.run(_replay(_settings(), ids, wanted, repair, force))


@dataclass(frozen=True, slots=True)
class Repair:
    """What to send in place of what the letter holds."""

    value: bytes | None
    headers: dict[str, str]

    def applied_to(self, letter: "DeadLetter") -> "DeadLetter":
        value = letter.value if self.value is None else self.value
        headers = {**letter.headers, **self.headers}
        return replace(letter, value=value, value_bytes=len(value), headers=headers)


@dataclass(frozen=True, slots=True)
class _Found:
    letters: "Sequence[DeadLetter]"
    matching: int
    unreadable: int


async def _list(settings: "Settings", wanted: Wanted, limit: int) -> _Found:
    from limelight.streams.dead_letter_log import DeadLetterLog

    async with DeadLetterLog(settings.kafka) as log:
        letters = [letter for letter in await log.letters() if wanted(letter)]
        return _Found(letters[:limit], len(letters), log.unreadable)


async def _show(settings: "Settings", letter_id: str) -> "DeadLetter":
    from limelight.streams.dead_letter_log import DeadLetterLog

    async with DeadLetterLog(settings.kafka) as log:
        (letter,) = _chosen(await log.letters(), [letter_id])
        return await log.whole_letter(letter)


async def _replay(
    settings: "Settings", ids: Sequence[str], wanted: Wanted, repair: Repair, force: bool
) -> None:
    from limelight.streams.dead_letter_log import DeadLetterLog

    async with DeadLetterLog(settings.kafka) as log:
        letters = await log.letters()
        chosen = _chosen(letters, ids) if ids else letters
        refused = sent = 0
        for letter in filter(wanted, chosen):
            problem = await _replay_one(log, letter, repair, settings, force)
            refused += problem is not None
            sent += problem is None
            typer.echo(f"{letter.id}: {problem or 'sent'}")
    typer.echo(f"{sent} sent, {refused} refused." + (f" {LATE}" if sent else ""))
    if refused:
        raise NotReplayed(
            f"dlq replay: found {refused} letters that were refused, expected none"
            " (repair them with --value or --header, or send them as they are with --force)"
        )


async def _replay_one(
    log: "DeadLetterLog", letter: "DeadLetter", repair: Repair, settings: "Settings", force: bool
) -> str | None:
    """Send one letter's message; why not, where it was not sent."""
    from limelight.streams.dead_letter_check import check_message
    from limelight.streams.dead_letter_log import LetterGone
    from limelight.streams.records import MalformedRecord

    if letter.replayed and not force:
        return "not sent, it has been replayed before (--force sends it again)"
    try:
        if repair.value is None:
            letter = await log.whole_letter(letter)
        message = repair.applied_to(letter)
        if not force:
            check_message(message, settings)
    except (LetterGone, MalformedRecord) as error:
        return f"not sent, {error}"
    await log.replay(message)
    return None


def _chosen(letters: "Sequence[DeadLetter]", ids: Sequence[str]) -> "list[DeadLetter]":
    """The letters of the ids, in their order.

    Raises:
        ValueError: there is none of an id.
    """
    known = {letter.id: letter for letter in letters}
    for letter_id in ids:
        if letter_id not in known:
            raise ValueError(
                f"dlq: found no letter {letter_id!r} among {len(known)}, expected an id as"
                " `limelight dlq list` shows it"
            )
    return [known[letter_id] for letter_id in dict.fromkeys(ids)]


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--header: found {text!r}, expected NAME=TEXT")
    return name, value


def summary(letter: "DeadLetter") -> dict[str, Any]:
    """A letter without its message, as plain JSON types."""
    return {
        "id": letter.id,
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.origin.offset,
        "element": letter.origin.element,
        "room_id": letter.room_id,
        "value_bytes": letter.value_bytes,
        "replayed": letter.replayed,
        "reason": letter.reason,
    }


def printable(text: str) -> str:
    """The text, written by others, with what would control a terminal spelled out."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def _print_table(letters: "Sequence[DeadLetter]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "room", "bytes", "reason")
    for letter in letters:
        mark = " (replayed)" if letter.replayed else ""
        cells = [letter.id + mark, letter.room_id or "", f"{letter.value_bytes:,}", letter.reason]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)


def _settings() -> "Settings":
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure(current.log_level)
    return current
