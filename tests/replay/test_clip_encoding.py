"""A platform's own videos become the table that the content models learn from."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from limelight.engine.images import fit_image
from limelight.engine.tiny_encoders import tiny_frame_encoder, tiny_text_encoder
from limelight.models.audio.sound_encoder import load_sound_encoder
from limelight.models.datasets.clip_files import load_clips
from limelight.replay.clip_encoding import ClipEncoders, EncodingOptions, encode_clips
from limelight.replay.clip_manifest import ManifestRow, read_manifest
from limelight.replay.readers.malformed import MalformedRecording
from limelight.streams.cli import app

RATE = 16_000


def write_clip(path: Path, seconds: float, *, hertz: float | None = None, shade: int = 90) -> Path:
    """Ten grey pictures a second, each lighter than the one before, and a tone or no sound."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = None if hertz is None else file.add_stream("aac", rate=RATE, layout="mono")
        for number in range(round(seconds * 10)):
            pixels = np.full((48, 64, 3), min(255, shade + number), np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(video.encode())
        if sound is not None and hertz is not None:
            times = np.arange(round(seconds * RATE)) / RATE
            tone = (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            file.mux(sound.encode(frame))
            file.mux(sound.encode())
    return path


def plain_pictures(path: Path) -> list[np.ndarray]:
    """Every picture of a film, as the tiny frame encoder wants it."""
    with av.open(str(path)) as file:
        return [fit_image(each.to_image(), (64, 64)) for each in file.decode(video=0)]


class CountingSound:
    """The statistics, so many times as large, and how often they were asked for."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self._inner = load_sound_encoder("log-mel-statistics")
        self.encoder_id, self.feature_size = self._inner.encoder_id, self._inner.feature_size
        self.calls = 0

    def encode(self, samples: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self._inner.encode(samples) * np.float32(self.scale)


@pytest.fixture(scope="module")
def tiny() -> ClipEncoders:
    cpu = torch.device("cpu")
    return ClipEncoders(
        tiny_frame_encoder(device=cpu),
        tiny_text_encoder(device=cpu),
        load_sound_encoder("log-mel-statistics"),
    )


Rows = Callable[..., list[ManifestRow]]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    def make(*lines: str) -> list[ManifestRow]:
        (tmp_path / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")
        return read_manifest(tmp_path / "manifest.csv")

    return make


def test_pictures_are_those_of_their_moments(tmp_path: Path, rows: Rows, tiny) -> None:
    pictures = plain_pictures(write_clip(tmp_path / "a.mp4", 8))
    found = encode_clips(rows("path,clip_id", "a.mp4,c1"), tmp_path / "w", tiny, EncodingOptions())
    # The middles of eight equal parts: half a second and every one behind it, ten pictures each.
    keys = tiny.frames.encode([pictures[5 + 10 * part] for part in range(8)])
    np.testing.assert_array_equal(found.frame_features[0], keys)
    opening = tiny.frames.encode([pictures[0], pictures[10], pictures[20]])
    np.testing.assert_array_equal(found.opening_frame_features[0], opening)
    np.testing.assert_array_equal(found.cover_features, tiny.frames.encode([pictures[40]]))
    np.testing.assert_array_equal(found.covers[0], pictures[40])
    assert found.seconds.tolist() == [8]


def test_sound_is_padded_to_the_longest_and_cut_at_the_limit(tmp_path: Path, rows, tiny) -> None:
    write_clip(tmp_path / "tone.mp4", 6, hertz=1_000)
    write_clip(tmp_path / "short.mp4", 2.5, hertz=1_000)
    write_clip(tmp_path / "silent.mp4", 4)
    table = rows("path,clip_id", "tone.mp4,c1", "short.mp4,c2", "silent.mp4,c3")
    whole = encode_clips(table, tmp_path / "w", tiny, EncodingOptions())
    # So many patches of 0.96 s are in 6 s and 2.5 s.
    assert whole.sound_lengths.tolist() == [6, 2, 0]
    assert whole.sound_features.shape == (3, 6, 128)
    assert not whole.sound_features[1, 2:].any() and not whole.sound_features[2].any()
    mels = 1_127 * np.log1p(np.array([125, 7_500, 1_000]) / 700)
    band = (mels[2] - mels[0]) / (mels[1] - mels[0]) * 65 - 1
    assert abs(int(whole.sound_features[0, 2, :64].argmax()) - band) < 1
    cut = encode_clips(table, tmp_path / "w", tiny, EncodingOptions(max_sound_s=3))
    assert cut.sound_lengths.tolist() == [3, 2, 0]
    np.testing.assert_array_equal(cut.sound_features, whole.sound_features[:, :3])


def test_a_clip_shorter_than_three_seconds_repeats_its_last_picture(tmp_path, rows, tiny) -> None:
    pictures = plain_pictures(write_clip(tmp_path / "a.mp4", 1.5))
    found = encode_clips(rows("path,clip_id", "a.mp4,c1"), tmp_path / "w", tiny, EncodingOptions())
    opening = tiny.frames.encode([pictures[0], pictures[10], pictures[14]])
    np.testing.assert_array_equal(found.opening_frame_features[0], opening)
    assert found.seconds.tolist() == [1.5]


def test_rates_are_measured_by_enough_impressions(tmp_path: Path, rows: Rows, tiny) -> None:
    write_clip(tmp_path / "a.mp4", 1)
    table = rows(
        "path,clip_id,impressions,plays_3s,clicks",
        "a.mp4,c1,10,4,3", "a.mp4,c2,9,4,3", "a.mp4,c3,0,0,0", "a.mp4,c4,,4,3", "a.mp4,c5,20,,5",
        "a.mp4,c6,20,0,",
    )  # fmt: skip
    found = encode_clips(table, tmp_path / "w", tiny, EncodingOptions())
    np.testing.assert_allclose(found.ctr, [0.3, 3 / 9, np.nan, np.nan, 0.25, np.nan])
    np.testing.assert_allclose(found.play_rate, [0.4, 4 / 9, np.nan, np.nan, np.nan, 0])
    assert found.impressions.tolist() == [10, 9, 0, 0, 20, 20]
    ten = encode_clips(table, tmp_path / "w", tiny, EncodingOptions(min_impressions=10))
    np.testing.assert_allclose(ten.ctr, [0.3, np.nan, np.nan, np.nan, 0.25, np.nan])


def test_words_and_daily_counts_are_kept_none_and_zeros_included(tmp_path, rows, tiny) -> None:
    write_clip(tmp_path / "a.mp4", 1)
    found = encode_clips(
        rows(
            "path,clip_id,title,tags,category,views_1,shares_1,views_2,shares_2",
            "a.mp4,c1,🔥🔥🎉,,dance,0,0,0,0", "a.mp4,c2,,a|b,,1,2,3,4",
            "a.mp4,c3,跳舞,a,,1,2,3,4",
        ),
        tmp_path / "w", tiny, EncodingOptions(),
    )  # fmt: skip
    assert found.tags == [[], ["a", "b"], ["a"]] and found.categories == ["dance", "", ""]
    # Emoji are unknown characters, not nothing; no title is nothing.
    assert found.title_features[0].any() and not found.title_features[1].any()
    (spoken,) = tiny.texts.encode([("跳舞", ())])
    np.testing.assert_allclose(found.title_features[2], spoken, atol=2e-3)
    assert found.daily_counts[0].tolist() == [[0] * 5] * 2
    assert found.daily_counts[1].tolist() == [[1, 0, 0, 2, 0], [3, 0, 0, 4, 0]]


def test_a_cover_of_its_own_stands_for_the_middle_picture(tmp_path: Path, rows, tiny) -> None:
    write_clip(tmp_path / "a.mp4", 1)
    Image.new("RGB", (40, 30), (250, 10, 20)).save(tmp_path / "c.png")
    found = encode_clips(
        rows("path,clip_id,cover", "a.mp4,c1,c.png"),
        tmp_path / "w", tiny, EncodingOptions(cover_pixels=32),
    )  # fmt: skip
    red = np.full((64, 64, 3), (250, 10, 20), np.uint8)
    np.testing.assert_array_equal(found.cover_features, tiny.frames.encode([red]))
    np.testing.assert_array_equal(found.covers[0], red[:32, :32])


def broken_files(folder: Path) -> None:
    write_clip(folder / "whole.mp4", 1)
    (folder / "text.mp4").write_text("no film")
    (folder / "empty.mp4").write_bytes(b"")
    data = write_clip(folder / "long.mp4", 4).read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("text.mp4,c2,", r"line 3, column path: found a broken video \(text.mp4: found text"),
        ("empty.mp4,c2,", r"line 3, column path: found a broken video \(.*an empty file"),
        ("cut.mp4,c2,", r"line 3, column path: found a broken video \(cut.mp4"),
        (".,c2,", r"line 3, column path: found a broken video"),
        ("none.mp4,c2,", r"line 3, column path: found none.mp4 \(No such file"),
        ("whole.mp4,c2,broken.png", r"line 3, column cover: found a broken picture"),
        ("whole.mp4,c2,none.png", r"line 3, column cover: found none.png \(No such file"),
    ],
)
def test_a_broken_file_is_refused_by_its_row_or_skipped(
    tmp_path: Path, rows: Rows, tiny, row: str, message: str
) -> None:
    broken_files(tmp_path)
    table = rows("path,clip_id,cover", "whole.mp4,c1,", row, "whole.mp4,c3,")
    with pytest.raises(MalformedRecording, match=message):
        encode_clips(table, tmp_path / "w", tiny, EncodingOptions())
    skipped: list[MalformedRecording] = []
    found = encode_clips(
        table, tmp_path / "w", tiny, EncodingOptions(skip_broken=True), on_broken=skipped.append
    )
    assert found.clip_ids == ["c1", "c3"] and len(skipped) == 1
    skipping = EncodingOptions(skip_broken=True)
    with pytest.raises(MalformedRecording, match="found only videos that are broken"):
        encode_clips(table[1:2], tmp_path / "w", tiny, skipping)


def test_features_too_large_to_keep_are_refused(tmp_path: Path, rows: Rows, tiny) -> None:
    write_clip(tmp_path / "a.mp4", 1, hertz=500)
    loud = replace(tiny, sounds=CountingSound(scale=1e6))
    with pytest.raises(MalformedRecording, match=r"line 2, column path: .* float16 cannot hold"):
        encode_clips(rows("path,clip_id", "a.mp4,c1"), tmp_path / "w", loud, EncodingOptions())


def test_an_interrupted_run_goes_on_and_what_changed_is_made_anew(tmp_path, rows, tiny) -> None:
    for number in range(3):
        write_clip(tmp_path / f"{number}.mp4", 1, hertz=500, shade=30 * number)
    table = rows("path,clip_id", *(f"{number}.mp4,c{number}" for number in range(3)))
    sounds = CountingSound()
    encoders, options, work = replace(tiny, sounds=sounds), EncodingOptions(), tmp_path / "w"

    def interrupt() -> None:
        if sounds.calls == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_clips(table, work, encoders, options, on_row=interrupt)
    resumed = encode_clips(table, work, encoders, options)
    assert sounds.calls == 3
    at_once = encode_clips(table, tmp_path / "other", encoders, options)
    assert sounds.calls == 6
    for name in ("frame_features", "sound_features", "covers", "cover_features"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(at_once, name))

    write_clip(tmp_path / "1.mp4", 2, hertz=500, shade=200)
    changed = encode_clips(table, work, encoders, options)
    assert sounds.calls == 7 and changed.seconds.tolist() == [1, 2, 1]
    for path in work.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    again = encode_clips(table, work, encoders, options)
    assert sounds.calls == 10
    np.testing.assert_array_equal(again.frame_features, changed.frame_features)
    encode_clips(table, work, replace(encoders, sound_revision="other"), options)
    encode_clips(table, work, encoders, EncodingOptions(cover_pixels=32))
    assert sounds.calls == 16


def test_from_videos_to_a_trained_and_judged_network_by_command(tmp_path: Path) -> None:
    lines = ["path,clip_id,category,impressions,plays_3s,clicks"]
    for number in range(6):
        hertz = 400 * number or None
        write_clip(tmp_path / f"{number}.mp4", 1 + number / 2, hertz=hertz, shade=30 * number)
        lines.append(f"{number}.mp4,c{number},dance,1000,{500 + number},{10 + 20 * number}")
    (tmp_path / "text.mp4").write_text("no film")
    lines.append("text.mp4,c6,,1000,500,100")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    table = tmp_path / "clips.safetensors"
    told = CliRunner().invoke(
        app, ["clips", "encode", str(tmp_path / "manifest.csv"), str(table), "--skip-broken"]
    )
    assert told.exit_code == 0, told.output
    assert f"written: {table}, 6 clips, 1 skipped" in told.output
    assert "manifest.csv, line 8, column path: found a broken video" in told.stderr
    assert load_clips(table).ctr.tolist() == pytest.approx([0.01, 0.03, 0.05, 0.07, 0.09, 0.11])
    (tmp_path / "ad.toml").write_text(
        'task = "ad_ctr"\npreset = "tiny"\nepochs = 1\nround_epochs = 1\nprune_share = 0.5\n'
        'out = "ad"\n[data]\ntrain = "clips.safetensors"\nvalidation = "clips.safetensors"\n'
    )
    trained = CliRunner().invoke(app, ["train", str(tmp_path / "ad.toml")])
    assert trained.exit_code == 0, trained.output
    model, out = tmp_path / "ad/model", tmp_path / "judged"
    command = ["evaluate", str(table), "--model", str(model), "--out", str(out)]
    judged = CliRunner().invoke(app, command)
    assert judged.exit_code == 0, judged.output
    (figures,) = json.loads((out / "evaluation.json").read_text())["data"][str(table)].values()
    assert figures["clips"] == 6 and 0 < figures["mae"] < 1
