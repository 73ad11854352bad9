"""One holder at a time, whoever dies."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import orjson
import pytest

from limelight.replay.registry.lease import LeaseLost, LeaseTaken, lease
from limelight.replay.store import Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path if request.param == "folder" else f"memory://{uuid4()}")


def test_the_second_is_told_who_is_at_work(store: Store) -> None:
    with lease(store, "work"):
        with (
            pytest.raises(LeaseTaken, match=f"found process {os.getpid()} on .* at work"),
            lease(store, "work"),
        ):
            pass
        with lease(store, "other"):
            pass
    with lease(store, "work") as again:
        again.check()


def test_of_many_at_once_one_gets_it(store: Store) -> None:
    start = Barrier(6)

    def take(number: int) -> int:
        start.wait()
        try:
            with lease(store, "work"):
                start.wait()
                return 1
        except LeaseTaken:
            start.wait()
            return 0

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1


def test_a_lease_that_is_not_renewed_ends_and_its_holder_notices(store: Store) -> None:
    now_s = [1_000.0]
    with lease(store, "work", lease_s=60, now_s=lambda: now_s[0]) as first:
        now_s[0] += 59
        first.check()
        now_s[0] += 2
        with pytest.raises(LeaseLost):
            first.check()
        with lease(store, "work", lease_s=60, now_s=lambda: now_s[0]) as second:
            first.renew()  # too late: there is a newer one
            with pytest.raises(LeaseLost):
                first.check()
            second.check()


def test_the_lease_of_a_dead_process_of_this_machine_is_taken_at_once(store: Store) -> None:
    with lease(store, "work"):
        (path,) = store.files("leases")
        held = orjson.loads(store.read(path))
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    store.put(path, orjson.dumps(held | {"pid": process, "until_ms": 2**60}))
    with lease(store, "work"):
        pass
    # On another machine nobody can tell.
    newest = max(store.files("leases"))
    away = held | {"pid": process, "until_ms": 2**60, "host": "elsewhere"}
    store.put(newest, orjson.dumps(away))
    with pytest.raises(LeaseTaken, match="on elsewhere"), lease(store, "work"):
        pass
