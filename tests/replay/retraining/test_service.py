"""Runs one after the other, and what happens when one cannot begin."""

from pathlib import Path

import orjson
import pytest

from limelight.replay.registry.lease import LEASE_S
from limelight.replay.retraining import service
from limelight.replay.retraining.service import LEASE, Retraining
from limelight.replay.store import Store
from limelight.streams.settings import Settings


def test_a_lease_left_by_a_dead_process_does_not_cost_a_whole_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that starts again has its predecessor's process number, so it must wait."""
    record = {"owner": "gone", "host": "elsewhere", "pid": 7, "until_ms": 2**60}
    Store(tmp_path).put(f"leases/{LEASE}-00000001.json", orjson.dumps(record))
    slept: list[float] = []
    monkeypatch.setattr(service.time, "sleep", slept.append)
    retraining = Retraining(Settings(), str(tmp_path / "log"), str(tmp_path), tell=print)
    retraining.serve(6 * 3_600, until=lambda: bool(slept))
    assert 0 < slept[0] <= LEASE_S
