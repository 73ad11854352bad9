"""One process at a time: a lease in the registry, for processes on any machine.

Leases are numbered files, and each is created by one process. The newest counts until it ends: by
being given back, or by not being renewed. So a process that died holds nobody up for longer than a
lease lasts, and of several that wait for its end one gets the next number.
"""

import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from limelight.engine.errors import LimelightError
from limelight.replay.store import Store, StoreFailed

logger = logging.getLogger(__name__)

LEASE_S = 60.0
_NAME = re.compile(r"leases/([a-z]+)-(\d{8})\.json")
# Those before the newest say nothing more.
_KEPT = 5


class LeaseTaken(LimelightError):
    """Another process is at work."""


class LeaseLost(LimelightError):
    """The lease ended before the work did: the process or its store stood still for too long."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: str
    host: str
    pid: int
    until_ms: int


class Lease:
    """A lease that this process holds; made by `lease`."""

    def __init__(
        self, store: Store, name: str, number: int, owner: str, now_s: Callable[[], float]
    ) -> None:
        self._store, self._name, self._number, self._owner = store, name, number, owner
        self._now_s = now_s
        self._until_s = 0.0

    def check(self) -> None:
        """Raise LeaseLost unless the lease still holds: to be called before what counts."""
        newest = max(_numbers(self._store, self._name), default=0)
        if newest != self._number or self._now_s() >= self._until_s:
            raise LeaseLost(
                f"{self._store.root}: found the lease {self._name} lost, expected to keep it"
                f" until the work is done"
            )

    def renew(self, lease_s: float = LEASE_S) -> None:
        self._write(self._now_s() + lease_s)

    def _write(self, until_s: float) -> None:
        record = _Record(
            owner=self._owner, host=_host(), pid=os.getpid(), until_ms=round(until_s * 1000)
        )
        self._store.put(_path(self._name, self._number), orjson.dumps(record.model_dump()))
        self._until_s = until_s

    def give_back(self) -> None:
        self._write(0.0)


@contextmanager
def lease(
    store: Store,
    name: str,
    *,
    lease_s: float = LEASE_S,
    now_s: Callable[[], float] = time.time,
) -> Iterator[Lease]:
    """Hold a lease for the length of a block; a thread renews it.

    Raises:
        LeaseTaken: another process holds it; the text names host, process and until when.
        StoreFailed: the store cannot be written.
    """
    held = _take(store, name, lease_s, now_s)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(lease_s / 3):
            try:
                held.check()
                held.renew(lease_s)
            except (LimelightError, OSError) as error:
                logger.warning("lease not renewed", extra={"lease": name, "reason": str(error)})

    thread = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        stop.set()
        thread.join()
        try:
            held.check()
            held.give_back()
        except (LeaseLost, StoreFailed, OSError) as error:
            logger.warning("lease not given back", extra={"lease": name, "reason": str(error)})


def _take(store: Store, name: str, lease_s: float, now_s: Callable[[], float]) -> Lease:
    owner = secrets.token_hex(8)
    numbers = _numbers(store, name)
    newest = max(numbers, default=0)
    if newest:
        holder = _holder(store, name, newest)
        if holder is not None and holder.until_ms > now_s() * 1000 and not _is_dead(holder):
            raise _taken(store, name, holder)
    record = _Record(
        owner=owner, host=_host(), pid=os.getpid(), until_ms=round((now_s() + lease_s) * 1000)
    )
    number = newest + 1
    if not store.create(_path(name, number), orjson.dumps(record.model_dump())):
        raise _taken(store, name, _holder(store, name, number))
    held = Lease(store, name, number, owner, now_s)
    held.renew(lease_s)
    for old in sorted(numbers)[:-_KEPT]:
        store.delete(_path(name, old))
    return held


def _taken(store: Store, name: str, holder: _Record | None) -> LeaseTaken:
    who = "another process" if holder is None else f"process {holder.pid} on {holder.host}"
    return LeaseTaken(f"{store.root}: found {who} at work ({name}), expected nobody")


def _holder(store: Store, name: str, number: int) -> _Record | None:
    try:
        return _Record.model_validate_json(store.read(_path(name, number)))
    except (OSError, ValidationError):
        return None


def _is_dead(holder: _Record) -> bool:
    """Whether it was a process of this machine that has ended."""
    if holder.host != _host() or holder.pid == os.getpid():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _numbers(store: Store, name: str) -> list[int]:
    found = (_NAME.fullmatch(path) for path in store.files("leases"))
    return [int(each[2]) for each in found if each and each[1] == name]


def _path(name: str, number: int) -> str:
    return f"leases/{name}-{number:08}.json"


def _host() -> str:
    return socket.gethostname()
