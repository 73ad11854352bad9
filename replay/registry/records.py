"""The registry's JSON: what a version is, where it comes from, and who has which role.

versions/<version>/config.json, model.safetensors   as save_pretrained writes them
versions/<version>/metrics.json, data.json          how good it was, what it learned from
versions/<version>/version.json                     all files' hashes; written last
changes/00000012.json                               the twelfth change of the pointers
"""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,149}$")]
Role = Literal["champion", "challenger"]
MANIFEST = "version.json"
METRICS, DATA = "metrics.json", "data.json"
# What a rollback can go back over.
MOST_PREVIOUS = 50


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=()
    )

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1

    def encoded(self) -> bytes:
        return self.model_dump_json(by_alias=True, indent=2).encode() + b"\n"


class Lineage(_Record):
    """Where a network comes from.

    Args:
        start_ms, end_ms: the time of the segments that it learned from, validation included.
        code: the commit of the code that trained it.
        config: the settings of the training.
        parent: the version that its weights began with, None for none or one not registered.
    """

    source: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    rooms: int | None = None
    segments: int | None = None
    code: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    parent: str | None = None
    note: str = ""


class VersionFile(_Record):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class Manifest(_Record):
    """A version's files; a version exists once its manifest does."""

    version: Name
    created_at_ms: int
    files: dict[str, VersionFile]

    @model_validator(mode="after")
    def _has_plain_names(self) -> Self:
        for name in self.files:
            if PurePosixPath(name).name != name or name in ("", ".", ".."):
                raise ValueError(f"files: found {name!r}, expected a plain file name")
        return self


class Change(_Record):
    """One change of the pointers, and how they stand after it.

    `previous` are the champions before this one, the latest first: what rollbacks go back to. None
    is the network that the engines' settings name.
    """

    number: Annotated[int, Field(ge=0)] = 0
    at_ms: int = 0
    action: Literal["begin", "promote", "challenge", "withdraw", "rollback"] = "begin"
    reason: str = ""
    champion: Name | None = None
    challenger: Name | None = None
    previous: tuple[Name | None, ...] = ()

    def version(self, role: Role) -> str | None:
        return self.champion if role == "champion" else self.challenger

    def promoted(self, version: str | None, reason: str) -> "Change":
        """A champion; who was challenger before is none any more if it is this one."""
        if version == self.champion:
            raise ValueError(f"champion: found {version or 'none'} is it already")
        challenger = None if self.challenger == version else self.challenger
        previous = (self.champion, *self.previous)[:MOST_PREVIOUS]
        return Change(
            action="promote",
            reason=reason,
            champion=version,
            challenger=challenger,
            previous=previous,
        )

    def challenged(self, version: str | None, reason: str) -> "Change":
        """A challenger, or none."""
        if version is not None and version == self.champion:
            raise ValueError(f"challenger: found {version}, which is the champion")
        return self.model_copy(
            update={
                "action": "challenge" if version else "withdraw",
                "reason": reason,
                "challenger": version,
            }
        )

    def rolled_back(self, reason: str) -> "Change":
        """The champion before this one."""
        if not self.previous:
            raise ValueError("rollback: found no champion before this one")
        champion, *previous = self.previous
        challenger = None if self.challenger == champion else self.challenger
        return Change(
            action="rollback",
            reason=reason,
            champion=champion,
            challenger=challenger,
            previous=tuple(previous),
        )
