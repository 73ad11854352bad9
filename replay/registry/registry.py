"""Versions that never change, and the two pointers into them.

A version is there once its manifest is, which is written last. The pointers are the newest of a
row of numbered files, each created by exactly one writer: a change is there or not, nobody's change
is lost to somebody else's, and the row tells who was champion when, and why.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from limelight.replay.registry.errors import (
    ChangedMeanwhile,
    MalformedVersion,
    RegistryError,
    UnknownVersion,
    VersionExists,
)
from limelight.replay.registry.records import (
    DATA,
    MANIFEST,
    METRICS,
    Change,
    Lineage,
    Manifest,
    VersionFile,
)
from limelight.replay.store import Store

logger = logging.getLogger(__name__)

_CHANGE = re.compile(r"changes/(\d{8})\.json")
# JSON of the registry; weights are read in blocks.
_MAX_JSON_BYTES = 10_000_000
_BLOCK_BYTES = 1 << 20
_ATTEMPTS = 20

Record = TypeVar("Record", Manifest, Change, Lineage)


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version, with what was measured of it and where it comes from."""

    manifest: Manifest
    metrics: dict[str, Any]
    lineage: Lineage

    @property
    def name(self) -> str:
        return self.manifest.version


class Registry:
    """The versions below a folder or an fsspec URL.

    Raises:
        ValueError: a root that is no folder or URL.
    """

    def __init__(
        self,
        root: str | Path | Store,
        *,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._store = root if isinstance(root, Store) else Store(root)
        self._now_ms = now_ms

    @property
    def root(self) -> str:
        return self._store.root

    @property
    def url(self) -> str:
        """The root as other processes find it."""
        return self._store.url

    def register(
        self,
        folder: Path,
        version: str,
        *,
        metrics: Mapping[str, Any],
        lineage: Lineage,
        extra: Mapping[str, bytes] | None = None,
    ) -> Version:
        """Copy the network that `save_pretrained` wrote into the registry.

        What a crash left of it is overwritten; registering the same twice changes nothing.

        Args:
            extra: more files of the version, by name.

        Raises:
            VersionExists: the name stands for another network.
            StoreFailed: a file cannot be written; the version is then not there.
            OSError: the folder cannot be read.
            ValueError: a version that is no name.
        """
        contents = {path.name: path.read_bytes() for path in _network_files(folder)}
        contents[METRICS] = orjson.dumps(dict(metrics), option=orjson.OPT_INDENT_2)
        contents[DATA] = lineage.encoded()
        contents |= dict(extra or {})
        files = {
            name: VersionFile(sha256=sha256(data).hexdigest(), size_bytes=len(data))
            for name, data in sorted(contents.items())
        }
        try:
            manifest = Manifest(version=version, created_at_ms=self._now_ms(), files=files)
        except ValidationError as error:
            raise ValueError(f"version: found {version!r}, expected a plain name") from error
        place = _folder(version)
        if f"{place}/{MANIFEST}" in self._store.files(place):
            return self._registered_before(version, files)
        for name, data in contents.items():
            self._store.put(f"{place}/{name}", data)
        if not self._store.create(f"{place}/{MANIFEST}", manifest.encoded()):
            return self._registered_before(version, files)
        logger.info("version registered", extra={"version": version, "registry": self.root})
        return self.version(version)

    def _registered_before(self, version: str, files: Mapping[str, VersionFile]) -> Version:
        found = self.version(version)
        weights = {name: file for name, file in files.items() if name not in (METRICS, DATA)}
        before = {name: file for name, file in found.manifest.files.items() if name in weights}
        if before != weights:
            raise VersionExists(
                f"{self.root}: found another network registered as {version}, expected a new name"
            )
        return found

    def versions(self) -> list[Version]:
        """All that are registered, the oldest first.

        Raises:
            MalformedVersion: one's JSON cannot be read.
        """
        found = [self.version(name) for name in self._names(finished=True)]
        return sorted(found, key=lambda each: (each.manifest.created_at_ms, each.name))

    def unfinished(self) -> list[str]:
        """Names whose registration was cut short; registering them again completes them."""
        return self._names(finished=False)

    def version(self, name: str) -> Version:
        """
        Raises:
            UnknownVersion: it was never registered, or not to the end.
            MalformedVersion: its JSON cannot be read.
        """
        place = _folder(name)
        files = self._store.files(place)
        if f"{place}/{MANIFEST}" not in files:
            half = f", only parts of it ({len(files)} files)" if files else ""
            known = ", ".join(self._names(finished=True)[-5:]) or "none"
            raise UnknownVersion(
                f"{self.root}: found no version {name}{half}, expected one of: {known}"
            )
        manifest = self._read(f"{place}/{MANIFEST}", Manifest)
        lineage = self._read(f"{place}/{DATA}", Lineage) if DATA in manifest.files else Lineage()
        metrics = self._json(f"{place}/{METRICS}") if METRICS in manifest.files else {}
        if manifest.version != name or not isinstance(metrics, dict):
            raise MalformedVersion(
                f"{self._store.full(place)}: found version {manifest.version}, expected {name}"
            )
        return Version(manifest, metrics, lineage)

    def file(self, version: str, name: str) -> bytes | None:
        """One of a version's files as it was registered, None if it has none of that name.

        Raises:
            UnknownVersion: it was never registered.
            MalformedVersion: it has changed since, or is gone.
        """
        manifest = self.version(version).manifest
        if name not in manifest.files:
            return None
        return self._checked(version, name, manifest.files[name])

    def local_folder(self, version: str, cache: Path | None = None) -> Path:
        """A folder of this machine with the version's files, each checked against its hash.

        Args:
            cache: where versions of a registry that is no folder are kept.

        Raises:
            UnknownVersion: it was never registered.
            MalformedVersion: a file is missing, truncated or another one.
        """
        manifest = self.version(version).manifest
        if self._store.is_local:
            for name, file in manifest.files.items():
                self._check(version, name, file)
            return self._store.local(_folder(version))
        kept = (cache or _cache()) / sha256(self.root.encode()).hexdigest()[:16] / version
        for name, file in manifest.files.items():
            target = kept / name
            if target.is_file() and _hash_of(target) == file.sha256:
                continue
            kept.mkdir(parents=True, exist_ok=True)
            # Engines of one machine fetch the same version at the same moment.
            unfinished = target.with_name(f"{name}.{secrets.token_hex(4)}.part")
            unfinished.write_bytes(self._checked(version, name, file))
            unfinished.replace(target)
        return kept

    def pointers(self) -> Change:
        """Who has which role now.

        Raises:
            RegistryError: the newest change cannot be read.
        """
        numbers = self._change_numbers()
        if not numbers:
            return Change()
        return self._read(_change_path(max(numbers)), Change)

    def history(self) -> list[Change]:
        """Every change, the first one first."""
        return [self._read(_change_path(number), Change) for number in self._change_numbers()]

    def change(self, make: Callable[[Change], Change]) -> Change:
        """Apply a change to the pointers as they are at that moment; gives it with its number.

        Args:
            make: from how things stand to the change; called again if somebody was quicker.

        Raises:
            UnknownVersion, MalformedVersion: a version that it names is not whole.
            ChangedMeanwhile: others are quicker again and again.
            ValueError: what `make` refuses.
        """
        for _ in range(_ATTEMPTS):
            before = self.pointers()
            wanted = make(before)
            for version in {wanted.champion, wanted.challenger} - {
                before.champion,
                before.challenger,
                None,
            }:
                assert version is not None
                self.local_folder(version)
            after = wanted.model_copy(update={"number": before.number + 1, "at_ms": self._now_ms()})
            if self._store.create(_change_path(after.number), after.encoded()):
                logger.info(
                    "pointers changed",
                    extra={
                        "action": after.action,
                        "champion": after.champion,
                        "challenger": after.challenger,
                        "reason": after.reason,
                    },
                )
                return after
        raise ChangedMeanwhile(
            f"{self.root}: found the pointers changed by others {_ATTEMPTS} times in a row"
        )

    def _names(self, *, finished: bool) -> list[str]:
        folders: dict[str, bool] = {}
        for path in self._store.files("versions"):
            _, name, *rest = path.split("/")
            folders[name] = folders.get(name, False) or rest == [MANIFEST]
        return sorted(name for name, is_finished in folders.items() if is_finished == finished)

    def _change_numbers(self) -> list[int]:
        found = (_CHANGE.fullmatch(path) for path in self._store.files("changes"))
        return sorted(int(each[1]) for each in found if each)

    def _json(self, path: str) -> Any:
        try:
            data = self._store.read(path)
            if len(data) > _MAX_JSON_BYTES:
                raise ValueError(f"{len(data)} bytes")
            return orjson.loads(data)
        except (OSError, ValueError) as error:
            raise MalformedVersion(
                f"{self._store.full(path)}: found {error}, expected JSON"
            ) from error

    def _read(self, path: str, kind: type[Record]) -> Record:
        try:
            return kind.model_validate(self._json(path))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise MalformedVersion(
                f"{self._store.full(path)}: {place}: {problem['msg']}"
            ) from error

    def _check(self, version: str, name: str, file: VersionFile) -> None:
        digest, size = sha256(), 0
        path = f"{_folder(version)}/{name}"
        try:
            with self._store.open(path) as source:
                while block := source.read(_BLOCK_BYTES):
                    digest.update(block)
                    size += len(block)
        except FileNotFoundError as error:
            raise MalformedVersion(
                f"{self._store.full(path)}: found no file, expected {file.size_bytes} bytes"
            ) from error
        self._compare(path, digest.hexdigest(), size, file)

    def _checked(self, version: str, name: str, file: VersionFile) -> bytes:
        path = f"{_folder(version)}/{name}"
        try:
            data = self._store.read(path)
        except FileNotFoundError as error:
            raise MalformedVersion(
                f"{self._store.full(path)}: found no file, expected {file.size_bytes} bytes"
            ) from error
        self._compare(path, sha256(data).hexdigest(), len(data), file)
        return data

    def _compare(self, path: str, digest: str, size: int, file: VersionFile) -> None:
        if digest != file.sha256:
            raise MalformedVersion(
                f"{self._store.full(path)}: found {size} bytes with SHA-256 {digest[:12]}...,"
                f" expected {file.size_bytes} with {file.sha256[:12]}... as registered"
            )


def _network_files(folder: Path) -> list[Path]:
    found = [folder / "config.json", folder / "model.safetensors"]
    for path in found:
        if not path.is_file():
            raise RegistryError(
                f"{folder}: found no {path.name}, expected what save_pretrained writes"
            )
    return found


def _folder(version: str) -> str:
    return f"versions/{version}"


def _change_path(number: int) -> str:
    return f"changes/{number:08}.json"


def _cache() -> Path:
    return Path.home() / ".cache" / "limelight" / "registry"


def _hash_of(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
