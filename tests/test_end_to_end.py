"""The whole path with real processes: embedded broker, worker, engine, HTTP receiver."""

import asyncio
import csv
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console
from scipy.stats import kendalltau

from limelight.replay.demo import DemoOptions, bundled_recordings, run_demo
from limelight.replay.demo_state import DemoState
from limelight.replay.direct import run_directly
from limelight.replay.recording import load_recording
from limelight.streams.engine_process import load_networks
from limelight.streams.settings import Settings

pytestmark = pytest.mark.broker

CLI = (sys.executable, "-m", "limelight.streams.cli")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoState, Path]:
    """The bundled recordings, played once as fast as possible through everything."""
    out_dir = tmp_path_factory.mktemp("played")
    options = DemoOptions(bundled_recordings(), out_dir, speed=0, keep=False)
    console = Console(file=(out_dir / "terminal.txt").open("w"), width=100)
    state = asyncio.run(run_demo(options, Settings(), console))
    console.file.close()
    return state, out_dir


def processes_of(out_dir: Path) -> list[str]:
    """Command lines of living processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(out_dir) in line and str(os.getpid()) != entry.parent.name:
            found.append(line)
    return found


def broker_listens(out_dir: Path) -> bool:
    log = (out_dir / "logs" / "broker.log").read_text()
    port = int(re.search(r"listening on: tcp://127\.0\.0\.1:(\d+)", log)[1])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_scores_equal_those_of_a_direct_pass(played) -> None:
    state, _ = played
    recordings = [load_recording(folder) for folder in bundled_recordings()]
    settings = Settings()
    base_ms = min(recording.started_ms for recording in recordings)
    direct = run_directly(recordings, settings, *load_networks(settings.engine), base_ms=base_ms)
    found = {
        (room_id, index): score
        for room_id, room in state.rooms.items()
        for index, score in room.scores.items()
    }
    expected = {(score.room_id, score.segment_index): score for score in direct.scores}
    assert found.keys() == expected.keys()
    for place, score in expected.items():
        assert found[place].ctr == pytest.approx(score.ctr, abs=1e-6)
        assert found[place].energy == score.energy
        reasons = found[place].reasons
        # A batch of another size rounds differently.
        assert reasons.modality_shares == pytest.approx(score.reasons.modality_shares, abs=0.02)
        assert replace(reasons, modality_shares={}) == replace(score.reasons, modality_shares={})
    plain = {name for name, kind in state.event_kinds.items() if kind != "enriched"}
    assert plain and plain == {event.event_id for event in direct.highlights}
    assert (direct.late, direct.dead_letters) == ([], [])


def test_nothing_is_lost_on_the_way(played) -> None:
    state, _ = played
    recordings = [load_recording(folder) for folder in bundled_recordings()]
    assert (state.late, state.dead_letters) == ([], [])
    lines = state.accounts.lines()
    assert {topic: line.missing for topic, line in lines.items()} == dict.fromkeys(lines, 0)
    assert lines["frames"].entered == state.events_in["frames"]
    assert len(state.window_ids) == sum(len(room.scores) for room in state.rooms.values())
    for recording in recordings:
        scores = state.rooms[recording.room_id].scores
        assert sorted(scores) == list(range(min(scores), min(scores) + len(scores)))
        said = sum(score.reasons.comment_count for score in scores.values())
        assert said == sum(1 for _ in recording.read_comments())


def test_each_highlight_event_is_delivered_exactly_once(played) -> None:
    state, _ = played
    assert set(state.delivered) == set(state.event_kinds)
    assert state.delivered_again == 0
    kinds = Counter(state.event_kinds.values())
    assert kinds["opened"] == kinds["closed"] == kinds["enriched"] > 0


def test_report_and_summary_are_complete(played) -> None:
    state, out_dir = played
    summary = orjson.loads((out_dir / "summary.json").read_bytes())
    assert summary["rooms"] == 4
    assert summary["segments"] == summary["windows"] == summary["scores"] == len(state.window_ids)
    assert summary["highlights_opened"] == summary["highlights_closed"]
    assert summary["close_to_score_ms"]["p50"] <= summary["close_to_score_ms"]["p99"]
    assert set(summary["decided_by"]) == {"network"}
    page = (out_dir / "report.html").read_text()
    # Of each highlight with pictures the best cover and three others.
    with_video = sum(
        len(room.highlights) for room_id, room in state.rooms.items() if "elephants" not in room_id
    )
    assert page.count("data:image/jpeg;base64,") == 4 * with_video
    clips = re.findall(r'<video[^>]* src="(clips/[^"#]+)#t=', page)
    assert len(clips) == with_video and all((out_dir / clip).is_file() for clip in clips)
    assert "The parts come from different events" in page
    assert page.count("measured CTR: clicks an impression") == 2
    assert "http" not in re.sub(r"https?://[\w.]*(blender|bigbuckbunny|github)\S*", "", page)


def test_every_highlight_is_enriched_with_all_that_its_room_allows(played) -> None:
    state, _ = played
    for room_id, room in state.rooms.items():
        for event in room.highlights.values():
            found = event["data"]["enrichment"]
            if "elephants" in room_id:  # a room without pictures
                assert found["missing"] == {"clip": "no source of the room's video is given"}
            else:
                assert not found["missing"] and found["starts"] and found["ctr"] is not None
            assert found["title"] and found["topics"] and found["forecast"]


def test_what_is_predicted_in_simulated_rooms_follows_the_clicks(played) -> None:
    state, out_dir = played
    summary = orjson.loads((out_dir / "summary.json").read_bytes())
    taus = summary["tau_predicted_against_measured_ctr"]
    assert set(taus) == {room_id for room_id in state.rooms if "simulated" in room_id}
    for room_id, tau in taus.items():
        scores = [score for _, score in sorted(state.rooms[room_id].scores.items())]
        clicked = [clicks_an_impression(room_id, at) for at in range(len(scores))]
        expected = kendalltau([score.ctr for score in scores], clicked).statistic
        assert tau == pytest.approx(expected, abs=1e-4)
        # Chance gives 0.11 as the spread of tau over 40 segments.
        assert tau > 0.4


def clicks_an_impression(room_id: str, segment: int) -> float:
    (folder,) = [each for each in bundled_recordings() if each.name == room_id]
    with (folder / "engagement.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[segment]
    return int(row["clicks"]) / int(row["impressions"])


def test_no_process_is_left_behind(played) -> None:
    _, out_dir = played
    assert processes_of(out_dir) == []
    assert not broker_listens(out_dir)


def test_a_second_replay_gives_the_same_ids_and_the_command_ends_well(played, tmp_path) -> None:
    _, first_dir = played
    command = [*CLI, "demo", "--speed", "0", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    first, second = (
        orjson.loads((folder / "summary.json").read_bytes()) for folder in (first_dir, tmp_path)
    )
    assert second["highlights"] == first["highlights"]
    assert second["events_in"] == first["events_in"]
    assert "opened:" in done.stdout
    assert processes_of(tmp_path) == []


def test_ctrl_c_stops_everything(tmp_path) -> None:
    log = tmp_path / "terminal.txt"
    with log.open("w") as out:
        command = [*CLI, "demo", "--speed", "1", "--out", str(tmp_path)]
        # A shell's background job, a CI run among them, hands on that Ctrl-C is to be ignored.
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline_s = time.monotonic() + 90
        while "playing" not in log.read_text() and time.monotonic() < deadline_s:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert processes_of(tmp_path) == []
    assert not broker_listens(tmp_path)
    assert "Traceback" not in log.read_text()
