"""Comment energy of a whole room at each of its seconds, against looking through it anew each time.

The room is the recorded one of the real data, which LIMELIGHT_TEST_DATA names, or a made-up one.
"""

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.energy import (
    LONG_MS,
    NEUTRAL_ENERGY,
    PRIOR,
    SHORT_MS,
    IncrementalEnergy,
    comment_energy,
)
from tests.bench.result import Result, interleaved

COMMENTS = 5_848
ROOM_MS = 3_600_000
REPEATS = 30
PLAIN_REPEATS = 3
TARGET = 500
_START = re.compile(r"^Dialogue: \d+,(\d+):(\d+):(\d+)\.(\d+),", re.MULTILINE)


def run() -> Result:
    times, room = _room()
    at = np.arange(0, times[-1] + 1_000, 1_000)
    listed, seconds = times.tolist(), at.tolist()
    expected = _rescan_numpy(times, at)
    for other in (comment_energy(times, at), _incremental(listed, seconds)):
        np.testing.assert_allclose(other, expected, rtol=1e-12)
    np.testing.assert_allclose(_rescan_plain(listed, seconds), expected, rtol=1e-12)
    timings = interleaved(
        {
            "offline": lambda: comment_energy(times, at),
            "incremental": lambda: _incremental(listed, seconds),
            "NumPy": lambda: _rescan_numpy(times, at),
        },
        repeats=REPEATS,
    )
    timings |= interleaved(
        {"plain Python": lambda: _rescan_plain(listed, seconds)}, repeats=PLAIN_REPEATS
    )
    rows = []
    for ours, name, target in (
        ("offline", "comment_energy", f">= {TARGET}x"),
        ("incremental", "IncrementalEnergy, comment by comment", "none"),
    ):
        for peer in ("NumPy", "plain Python"):
            fast, slow = timings[ours], timings[peer]
            rows.append(
                (
                    name,
                    round(fast.min_ms, 3),
                    round(fast.median_ms, 3),
                    f"rescan each second, {peer}",
                    round(slow.min_ms, 1),
                    round(slow.median_ms, 1),
                    f"{slow.min_ms / fast.min_ms:.0f}x",
                    target,
                )
            )
    return Result(
        title="Comment energy at every second of a room",
        columns=(
            "work",
            "ours min ms",
            "ours median ms",
            "peer",
            "peer min ms",
            "peer median ms",
            "ratio (by minimum)",
            "target",
        ),
        rows=tuple(rows),
        note=(
            f"{room}: {len(times):,} comments, {len(at):,} seconds; one thread, one process, "
            f"taking turns, {REPEATS} repeats ({PLAIN_REPEATS} of plain Python). All four agree to "
            f"1e-12. The incremental form is Python, and counts its {len(times):,} additions too."
        ),
    )


def _room() -> tuple[NDArray[np.int64], str]:
    folder = os.environ.get("LIMELIGHT_TEST_DATA")
    if not folder:
        times = np.random.default_rng(0).integers(0, ROOM_MS, COMMENTS)
        return np.sort(times), "A made-up room, seed 0 (LIMELIGHT_TEST_DATA is not set)"
    text = (Path(folder) / "bilibili-live-room" / "comments.ass").read_text("utf-8-sig")
    starts = [[int(part) for part in found] for found in _START.findall(text)]
    times_ms = [((h * 60 + m) * 60 + s) * 1_000 + hundredth * 10 for h, m, s, hundredth in starts]
    return np.sort(np.array(times_ms)), "A real live room of Bilibili"


def _incremental(times: list[int], seconds: list[int]) -> list[float]:
    room = IncrementalEnergy()
    energies, fed = [], 0
    for second in seconds:
        while fed < len(times) and times[fed] <= second:
            room.add(times[fed])
            fed += 1
        energies.append(room.energy(second))
    return energies


def _rescan_numpy(times: NDArray[np.int64], seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    energies = np.empty(len(seconds))
    for number, second in enumerate(seconds.tolist()):
        split = second - SHORT_MS
        current = np.count_nonzero((times > split) & (times <= second))
        past = np.count_nonzero((times > split - LONG_MS) & (times <= split))
        energies[number] = _energy(current, past, split - int(times[0]))
    return energies


def _rescan_plain(times: list[int], seconds: list[int]) -> list[float]:
    energies = []
    for second in seconds:
        split = second - SHORT_MS
        current = past = 0
        for time in times:
            if split < time <= second:
                current += 1
            elif split - LONG_MS < time <= split:
                past += 1
        energies.append(_energy(current, past, split - times[0]))
    return energies


def _energy(current: int, past: int, known_ms: int) -> float:
    known_ms = min(LONG_MS, known_ms)
    if known_ms < SHORT_MS:
        return NEUTRAL_ENERGY
    return (current + PRIOR) / (current + past * SHORT_MS / known_ms + 2 * PRIOR)
