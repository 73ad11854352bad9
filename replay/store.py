"""Files in a folder or below any fsspec URL, each of them whole or not there at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from limelight.engine.errors import LimelightError

UNFINISHED = ".part"
# A put of these shows nothing before it is complete; others are written under another name first.
_ATOMIC_PUT = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2"})


class StoreFailed(LimelightError):
    """A file could not be written or deleted."""


class Store:
    """Files by their path below a root, with `/` between its parts.

    The steps that change something are methods of their own (`_write`, `_rename`, `_remove`), each
    of which may be the last before a crash.

    Raises:
        ValueError: a URL that fsspec does not know, or whose package is missing.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        try:
            filesystem, path = fsspec.core.url_to_fs(self.root)
        except (ValueError, ImportError) as error:
            raise ValueError(
                f"store: found {self.root} ({error}), expected a folder or an fsspec URL"
            ) from error
        self._fs: Any = filesystem
        self._path = path.rstrip("/")
        protocols = (
            {filesystem.protocol}
            if isinstance(filesystem.protocol, str)
            else set(filesystem.protocol)
        )
        self.is_local = "file" in protocols
        self._is_put_atomic = bool(protocols & _ATOMIC_PUT)

    def full(self, path: str) -> str:
        """The path as an error should name it."""
        return f"{self.root.rstrip('/')}/{path}"

    @property
    def url(self) -> str:
        """The root as any process of this machine finds it, wherever it works."""
        return str(self.local("")) if self.is_local else self.root

    def local(self, path: str) -> Path:
        """Where the file or folder lies on this machine; only for a store that `is_local`."""
        return Path(self._path, path).resolve()

    def files(self, folder: str = "") -> dict[str, int]:
        """The size of every file below a folder, by path, those that are not finished included."""
        base = f"{self._path}/{folder}".rstrip("/")
        if self.is_local:
            return dict(sorted(_local_files(base, len(self._path) + 1)))
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(base, detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._path) + 1
        return {name[start:]: int(info["size"]) for name, info in sorted(found.items())}

    def open(self, path: str) -> Any:
        """A file object to read from.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        return self._fs.open(f"{self._path}/{path}", "rb")

    def put(self, path: str, data: Any) -> None:
        """Write a file, in place of one of that name; it appears whole or not at all.

        Raises:
            StoreFailed: names the file and what went wrong; nothing of it is there.
        """
        unfinished = path if self._is_put_atomic else f"{path}.{secrets.token_hex(4)}{UNFINISHED}"
        try:
            self._write(unfinished, data)
            if unfinished != path:
                self._rename(unfinished, path)
        except OSError as error:
            if unfinished != path:
                with contextlib.suppress(OSError):
                    self._remove(unfinished)
            raise StoreFailed(
                f"{self.full(path)}: found it cannot be written ({error}), nothing of it is kept"
            ) from error

    def read(self, path: str) -> bytes:
        """A whole file.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        with self.open(path) as file:
            return bytes(file.read())

    def create(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one of that name; False if there is.

        Of several that create the same file at once, one does.

        Raises:
            StoreFailed: names the file and what went wrong; nothing of it is there.
        """
        try:
            return self._create_local(path, data) if self.is_local else self._create(path, data)
        except OSError as error:
            raise StoreFailed(
                f"{self.full(path)}: found it cannot be written ({error}), nothing of it is kept"
            ) from error

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is no error.

        Raises:
            StoreFailed: it cannot be deleted.
        """
        try:
            self._remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreFailed(f"{self.full(path)}: found it cannot be deleted ({error})") from error

    def remove_empty_folders(self, folder: str) -> None:
        """Remove a folder and the one above it, if they are empty. Object stores have none."""
        if self.is_local:
            here = Path(self._path, folder)
            with contextlib.suppress(OSError):
                here.rmdir()
                here.parent.rmdir()

    def _create_local(self, path: str, data: bytes) -> bool:
        unfinished = f"{path}.{secrets.token_hex(4)}{UNFINISHED}"
        target = Path(self._path, path)
        try:
            self._write(unfinished, data)
            # A link, unlike a renaming, does not replace what is there.
            target.hardlink_to(Path(self._path, unfinished))
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(OSError):
                self._remove(unfinished)
        for folder in _folders(target.parent, Path(self._path)):
            _sync_folder(folder)
        return True

    def _create(self, path: str, data: bytes) -> bool:
        self._fs.invalidate_cache()
        try:
            self._fs.pipe_file(f"{self._path}/{path}", data, mode="create")
        except FileExistsError:
            return False
        return True

    def _write(self, path: str, data: Any) -> None:
        whole = f"{self._path}/{path}"
        if not self.is_local:
            self._fs.pipe_file(whole, bytes(data))
            return
        folder = Path(whole).parent
        folder.mkdir(parents=True, exist_ok=True)
        with Path(whole).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _rename(self, unfinished: str, path: str) -> None:
        source, target = f"{self._path}/{unfinished}", f"{self._path}/{path}"
        if not self.is_local:
            self._fs.mv(source, target)
            return
        Path(source).replace(target)
        # The names are safe once every folder that may be new is.
        for folder in _folders(Path(target).parent, Path(self._path)):
            _sync_folder(folder)

    def _remove(self, path: str) -> None:
        self._fs.rm_file(f"{self._path}/{path}")


def _local_files(base: str, start: int) -> Iterator[tuple[str, int]]:
    """Files and their sizes, paths from `start` on.

    fsspec's own listing leaves a whole folder out when a file goes while it looks.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for folder, _, names in os.walk(base, onerror=refuse):
        for name in names:
            whole = f"{folder}/{name}"
            try:
                yield whole[start:], Path(whole).stat().st_size
            except FileNotFoundError:
                continue


def _folders(deepest: Path, root: Path) -> Iterator[Path]:
    while deepest != root and root in deepest.parents:
        yield deepest
        deepest = deepest.parent
    yield root


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
