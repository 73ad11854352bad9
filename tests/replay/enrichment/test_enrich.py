"""A closed highlight becomes a clip, covers and so on; what cannot be made says why."""

import json
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote

import av
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from limelight.engine.settings import EngineSettings
from limelight.replay.enrichment.clip_models import load_clip_models
from limelight.replay.enrichment.enrich import Enricher
from limelight.replay.enrichment.file_names import stored_name
from limelight.replay.enrichment.sources import MediaSource, MediaSources
from limelight.replay.media_url import MediaUrl
from limelight.streams.settings import EnrichmentSettings

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs/push/highlight.schema.json").read_text(encoding="utf-8")
)
ENRICHMENT = Draft202012Validator(SCHEMA["$defs"]["enrichment"] | {"$defs": SCHEMA["$defs"]})
STARTED_MS = 1_777_636_800_000


@pytest.fixture
def make_enricher(tmp_path, clip_models):
    def make(video, models=clip_models, **changes) -> Enricher:
        settings = EnrichmentSettings(out=str(tmp_path / "out"), **changes)
        source = MediaSource(video, STARTED_MS) if video is not None else None
        return Enricher(settings, MediaSources({"room-1": source} if source else {}), models)

    return make


def seconds_shown(clip: Path, find_second, seconds: int) -> list[int]:
    with av.open(str(clip)) as container:
        return [find_second(each.to_image(), seconds) for each in container.decode(video=0)]


def key_frame_before(video: Path, second: float) -> float:
    with av.open(str(video)) as container:
        times = [
            float(packet.pts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.is_keyframe and packet.pts is not None
        ]
    return max(time for time in times if time <= second)


def test_a_highlight_gets_every_part(
    tmp_path, make_video, make_enricher, highlight, find_second
) -> None:
    video = make_video(tmp_path / "room.mp4", 30)
    first_s = key_frame_before(video, 5.5)
    assert first_s < 5.5
    found = make_enricher(video).enrich(highlight(5.5, 15))
    ENRICHMENT.validate(found)
    assert found["missing"] == {}
    clip = tmp_path / "out" / found["clip"]["url"]
    # Pictures are shown in another order than they are coded in, so one or two come behind the end.
    shown = seconds_shown(clip, find_second, 30)
    assert list(range(int(first_s), 15)) == sorted(set(shown) - {15})
    assert found["clip"]["start_ms"] == STARTED_MS + round(first_s * 1_000)
    assert found["clip"]["seconds"] == pytest.approx(15 - first_s, abs=0.3)
    assert found["clip"]["bytes"] == clip.stat().st_size
    assert sorted(each["offset_ms"] for each in found["starts"])[0] == 0
    rates = [each["play_rate"] for each in found["starts"]]
    assert rates == sorted(rates, reverse=True) and len(rates) > 3
    scores = [each["score"] for each in found["covers"]]
    assert scores == sorted(scores, reverse=True) and len(scores) == 8
    for cover in found["covers"]:
        with Image.open(tmp_path / "out" / cover["url"]) as picture:
            assert find_second(picture, 30) == int(first_s + cover["offset_ms"] / 1_000)
    assert found["title"]["text"] in ("音乐准备好了", "这支舞练了很久", "太强了")
    assert found["topics"] and found["forecast"]["score"] > 0 and 0 < found["ctr"] < 1
    assert set(found["models"]) == {"play_rate", "ctr", "cover_title", "topics", "popularity"}


def test_enriching_again_gives_the_same(tmp_path, make_video, make_enricher, highlight) -> None:
    enricher = make_enricher(make_video(tmp_path / "room.mp4", 12))
    first = enricher.enrich(highlight(0, 9))
    files = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert enricher.enrich(highlight(0, 9)) == first
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files


def test_a_url_is_cut_like_a_file(
    tmp_path, make_video, make_enricher, highlight, file_server
) -> None:
    video = make_video(tmp_path / "room.mp4", 30)
    local = make_enricher(video).enrich(highlight(5, 15))
    remote = make_enricher(MediaUrl(f"{file_server}/room.mp4")).enrich(highlight(5, 15))
    assert remote == local


@pytest.mark.parametrize("start_s", [10, 28])
def test_a_highlight_at_the_end_of_the_video_ends_with_it(
    tmp_path, make_video, make_enricher, highlight, start_s
) -> None:
    video = make_video(tmp_path / "room.mp4", 30)
    found = make_enricher(video).enrich(highlight(start_s, 60))
    assert found["missing"] == {}
    assert found["clip"]["seconds"] == 30 - key_frame_before(video, start_s)


def test_what_mp4_does_not_take_becomes_matroska(
    tmp_path, make_video, make_enricher, highlight
) -> None:
    video = make_video(tmp_path / "room.webm", 8, codec="libvpx")
    found = make_enricher(video).enrich(highlight(0, 5))
    assert found["missing"] == {} and found["clip"]["url"].endswith(".mkv")


def test_a_long_highlight_is_cut_short(tmp_path, make_video, make_enricher, highlight) -> None:
    video = make_video(tmp_path / "room.mp4", 30)
    found = make_enricher(video, max_clip_s=6).enrich(highlight(10, 30))
    assert found["clip"]["seconds"] == pytest.approx(16 - key_frame_before(video, 10), abs=0.3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (None, "no source of the room's video is given"),
        ("none.mp4", "No such file or directory"),
        ("broken.mp4", r"broken.mp4: found a file that it cannot read"),
        ("short.mp4", "expected a part of a video of 2.0 s"),
    ],
)
def test_without_a_clip_the_rest_is_made_all_the_same(
    tmp_path, make_video, make_enricher, highlight, name, reason
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\x00broken" * 100)
    make_video(tmp_path / "short.mp4", 2)
    found = make_enricher(None if name is None else tmp_path / name).enrich(highlight(5, 15))
    ENRICHMENT.validate(found)
    assert reason in found["missing"]["clip"] and str(tmp_path) not in json.dumps(found)
    assert (found["clip"], found["starts"], found["ctr"], found["covers"]) == (None, [], None, [])
    assert found["title"] is not None and found["topics"] and found["forecast"]


def test_a_url_that_fails_tells_nothing_of_its_secrets(
    make_enricher, highlight, file_server
) -> None:
    video = MediaUrl(f"{file_server}/none.mp4?key=secret")
    found = make_enricher(video).enrich(highlight(5, 15))
    assert "none.mp4" in found["missing"]["clip"]
    assert "secret" not in json.dumps(found) and "127.0.0.1" not in json.dumps(found)


def test_a_cut_that_takes_too_long_is_given_up(
    tmp_path, make_video, make_enricher, highlight, monkeypatch
) -> None:
    enricher = make_enricher(make_video(tmp_path / "room.mp4", 8), highlight_timeout_s=0.05)
    monkeypatch.setattr(enricher, "_cut_now", lambda *args: time.sleep(1))
    found = enricher.enrich(highlight(0, 5))
    assert found["missing"]["clip"] == "it took longer than 0.05 s" and found["topics"]


def test_a_missing_model_takes_its_part_only(
    tmp_path, make_video, make_enricher, highlight
) -> None:
    (tmp_path / "broken").mkdir()
    settings = EnrichmentSettings(
        play_rate_model="", ctr_model="", cover_title_model="", popularity_model="",
        topics_model=str(tmp_path / "broken"),
    )  # fmt: skip
    models = load_clip_models(settings, EngineSettings())
    video = make_video(tmp_path / "room.mp4", 12)
    found = make_enricher(video, models).enrich(highlight(0, 9))
    ENRICHMENT.validate(found)
    assert found["missing"] == {
        "play_rate": "no model is set",
        "ctr": "no model is set",
        "cover_title": "no model is set",
        "popularity": "no model is set",
        "topics": "its model cannot be loaded",
    }
    assert found["clip"] and found["title"]["text"] == "音乐准备好了"
    # A cover all the same, though nobody has ranked it.
    assert [each["score"] for each in found["covers"]] == [None]


def test_a_model_that_fails_takes_its_part_only(
    tmp_path, make_video, make_enricher, highlight, clip_models
) -> None:
    class Broken:
        def assign(self, *args, **kwargs):
            raise RuntimeError("a matrix of another shape, at /some/where")

    video = make_video(tmp_path / "room.mp4", 12)
    models = replace(clip_models, topics=Broken())
    found = make_enricher(video, models).enrich(highlight(0, 9))
    assert found["missing"] == {"topics": "it failed: RuntimeError"}
    assert found["clip"] and found["forecast"]


def test_a_store_that_is_full_leaves_the_clip_out(
    tmp_path, make_video, make_enricher, highlight
) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    video = make_video(tmp_path / "room.mp4", 12)
    found = make_enricher(video).enrich(highlight(0, 9))
    assert found["missing"]["clip"] == "it cannot be stored"
    assert found["clip"] is None and found["covers"] == [] and found["topics"]


def test_a_highlight_without_words_has_no_title(
    tmp_path, make_video, make_enricher, highlight
) -> None:
    video = make_video(tmp_path / "room.mp4", 12)
    peak = highlight(0, 9)["peak"] | {"speech": "", "strongest_comments": ["🔥"]}
    found = make_enricher(video).enrich(highlight(0, 9, peak=peak))
    ENRICHMENT.validate(found)
    assert found["title"] is None and "title" in found["missing"] and len(found["covers"]) == 8


def test_nothing_at_all_is_still_an_enrichment(make_enricher, highlight) -> None:
    peak = highlight(0, 9)["peak"] | {"speech": "", "strongest_comments": []}
    found = make_enricher(None).enrich(highlight(0, 9, peak=peak))
    ENRICHMENT.validate(found)
    assert found["topics"] == []
    assert found["missing"]["topics"] == "there is neither picture nor title nor tag"


def test_urls_are_below_the_base(tmp_path, make_video, make_enricher, highlight) -> None:
    video = make_video(tmp_path / "room.mp4", 12)
    found = make_enricher(video, base_url="https://cdn.example.com/c/").enrich(highlight(0, 9))
    name = f"room-1~{STARTED_MS}~energy"
    assert found["clip"]["url"] == f"https://cdn.example.com/c/{name}.mp4"
    assert (tmp_path / "out" / f"{name}.mp4").is_file()


def test_no_two_highlights_have_onestored_name() -> None:
    ids = ["a/1/m", "a~1/m", "a_1/m", "a%2F1/m", "a_2F1/m", "a%7E1/m", "房/1/m", "a%/m", "a_25/m"]
    names = [stored_name({"highlight_id": each}) for each in ids]
    assert len(set(names)) == len(ids)
    assert all(set(name) <= set("abcdefm0123456789ABCDEF_~") for name in names)


def test_a_long_name_of_a_room_fits_into_a_file_system() -> None:
    # As the detector writes ids: percent-encoded. Both differ behind what a name can hold.
    ids = [quote("直播间" * 66 + each, safe="") + "/1777636800000/m" for each in "一二"]
    names = [stored_name({"highlight_id": each}) for each in ids]
    assert len(set(names)) == 2 and max(map(len, names)) <= 200


def test_a_highlight_that_began_before_the_video_begins_with_it(
    tmp_path, make_video, make_enricher, highlight
) -> None:
    found = make_enricher(make_video(tmp_path / "room.mp4", 12)).enrich(highlight(-3, 6))
    assert found["missing"] == {} and found["clip"]["start_ms"] == STARTED_MS
    assert found["clip"]["seconds"] == pytest.approx(6, abs=0.3)
    found = make_enricher(tmp_path / "room.mp4").enrich(highlight(-9, -3))
    assert "expected a part of a video" in found["missing"]["clip"]


def test_a_key_frame_too_far_back_gives_no_clip(tmp_path, make_enricher, highlight) -> None:
    video = tmp_path / "room.mp4"
    with av.open(str(video), "w") as file:
        stream = file.add_stream("libx264", rate=5, options={"g": "1000", "sc_threshold": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(100):
            file.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        file.mux(stream.encode())
    found = make_enricher(video, max_clip_s=10).enrich(highlight(15, 18))
    assert found["missing"] == {"clip": "its key frame lies 15 s before it, expected at most 10 s"}
    assert make_enricher(video, max_clip_s=16).enrich(highlight(15, 18))["clip"]["seconds"] > 15


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"peak": None}, {"title": "nothing with a letter was said or written"}),
        ({"peak": "a text"}, {"title": "it failed: AttributeError"}),
        ({"peak": {"strongest_comments": 3}}, {"title": "it failed: TypeError"}),
        ({"start_ms": "soon"}, {"clip": "it failed: ValueError"}),
        ({"end_ms": None}, {"clip": "it failed: TypeError"}),
        ({"start_ms": 1e300}, {"clip": "clip: found 1"}),
        ({"highlight_id": None, "streamer_id": None, "timings": None}, {}),
    ],
)
def test_a_highlight_of_odd_fields_is_enriched_all_the_same(
    tmp_path, make_video, make_enricher, highlight, changes, missing
) -> None:
    video = make_video(tmp_path / "room.mp4", 8)
    found = make_enricher(video).enrich(highlight(0, 5) | changes)
    ENRICHMENT.validate(found)
    assert found["missing"].keys() == missing.keys()
    assert all(reason in found["missing"][part] for part, reason in missing.items())
    assert found["topics"] and found["forecast"]


def test_a_highlight_of_nothing_is_an_enrichment_too(make_enricher) -> None:
    found = make_enricher(None).enrich({"room_id": "room-1"})
    ENRICHMENT.validate(found)
    assert found["missing"]["popularity"] == "it failed: KeyError"


def test_pictures_that_no_encoder_takes_leave_clip_and_covers(
    tmp_path, make_video, make_enricher, highlight, clip_models, monkeypatch
) -> None:
    def refuse(self, pictures):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(type(clip_models), "frame_features", refuse)
    found = make_enricher(make_video(tmp_path / "room.mp4", 8)).enrich(highlight(0, 5))
    ENRICHMENT.validate(found)
    assert set(found["missing"]) == {"play_rate", "ctr", "topics", "popularity"}
    assert found["clip"] and len(found["covers"]) == 8 and found["title"]


def test_a_server_that_breaks_off_tells_nothing_of_its_secrets(
    tmp_path, make_enricher, highlight, monkeypatch, caplog
) -> None:
    # PyAV's own error quotes the address.
    def break_off(*args):
        raise av.error.OSError(5, "Input/output error", "https://a.example/b.mp4?key=secret")

    enricher = make_enricher(tmp_path / "room.mp4")
    monkeypatch.setattr(enricher, "_cut_now", break_off)
    found = enricher.enrich(highlight(0, 5))
    assert found["missing"]["clip"] == "Input/output error"
    assert caplog.records and "secret" not in caplog.text + repr(vars(caplog.records[0]))


def test_who_gives_up_waits_for_no_clip(tmp_path, make_enricher, highlight, monkeypatch) -> None:
    enricher = make_enricher(tmp_path / "room.mp4")
    cutting, over = Event(), Event()
    monkeypatch.setattr(enricher, "_cut_now", lambda *args: cutting.set() or over.wait(60))
    found: dict = {}
    thread = Thread(target=lambda: found.update(enricher.enrich(highlight(0, 5))), daemon=True)
    thread.start()
    assert cutting.wait(30)
    enricher.give_up()
    thread.join(30)
    over.set()
    assert found["missing"]["clip"] == "the enricher was stopped"
    assert "stopped" in enricher.enrich(highlight(0, 5))["missing"]["clip"]


def test_a_lively_sound_changes_what_is_expected(
    tmp_path, make_video, make_enricher, highlight
) -> None:
    quiet = make_video(tmp_path / "quiet.mp4", 12)
    loud = tmp_path / "loud.mp4"
    rng = np.random.default_rng(0)
    with av.open(str(quiet)) as source, av.open(str(loud), "w") as target:
        pictures = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("aac", rate=16_000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                target.mux(packet)
        noise = rng.normal(scale=0.3, size=(1, 16_000 * 12)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise.clip(-1, 1), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        target.mux(sound.encode(frame))
        target.mux(sound.encode())
    silent, noisy = (make_enricher(each).enrich(highlight(0, 9)) for each in (quiet, loud))
    assert silent["ctr"] != noisy["ctr"] and silent["starts"] != noisy["starts"]


def test_models_are_asked_about_the_source_the_best_cover_and_each_opening(
    tmp_path, make_video, highlight, clip_models
) -> None:
    asked: dict = {}

    class Recorder:
        def __init__(self, part, model) -> None:
            self.part, self.model = part, model

        def __getattr__(self, name):
            def ask(*args, **kwargs):
                asked.setdefault(self.part, (args, kwargs))
                return getattr(self.model, name)(*args, **kwargs)

            return ask

    parts = ("play_rate", "ctr", "cover_title", "topics", "popularity")
    models = replace(
        clip_models, **{part: Recorder(part, getattr(clip_models, part)) for part in parts}
    )
    video = tmp_path / "loud.mp4"
    quiet = make_video(tmp_path / "quiet.mp4", 12)
    with av.open(str(quiet)) as source, av.open(str(video), "w") as target:
        pictures = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("aac", rate=16_000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                target.mux(packet)
        # Silent but for its second half.
        noise = np.random.default_rng(0).normal(scale=0.3, size=(1, 16_000 * 12))
        noise[:, : 16_000 * 6] = 0
        frame = av.AudioFrame.from_ndarray(noise.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        target.mux(sound.encode(frame))
        target.mux(sound.encode())
    source = MediaSource(video, STARTED_MS, category="dance", tags=("dance", "live"))
    settings = EnrichmentSettings(out=str(tmp_path / "out"))
    found = Enricher(settings, MediaSources({"room-1": source}), models).enrich(highlight(0, 12))
    assert found["missing"] == {}
    (openings, sounds, _, categories), _ = asked["play_rate"]
    assert set(categories) == {"dance"} and len(categories) == len(found["starts"])
    # The first opening is silent, the last is not; nor do they show the same.
    assert not np.array_equal(sounds[0], sounds[-1])
    assert not np.array_equal(openings[0], openings[-1])
    assert asked["ctr"][0][3] == ["dance"]
    (covers, titles), _ = asked["cover_title"]
    scores = clip_models.cover_title.scores(covers, titles).round(4)
    assert found["covers"][0]["score"] == scores.max()
    assert found["title"]["text"] == titles[int(scores.argmax())]
    with Image.open(tmp_path / "out" / found["covers"][0]["url"]) as best:
        shown = np.asarray(best, np.int16).reshape(-1, 3)[-1]
    assert np.abs(shown - covers[int(scores.argmax())].reshape(-1, 3)[-1]).max() < 12
    (images, texts, tags), present = asked["topics"]
    assert tags == [["dance", "live"]]
    assert present["image_present"].all() and present["text_present"].all()
    assert np.array_equal(texts, clip_models.text_features([found["title"]["text"]]))
    best_cover = covers[int(scores.argmax())]
    assert np.array_equal(images, clip_models.frame_features([Image.fromarray(best_cover)]))
    (video_asked,), _ = asked["popularity"]
    numbers = dict(zip(video_asked.number_names, video_asked.numbers.T, strict=True))
    assert float(numbers["seconds"][0]) == pytest.approx(found["clip"]["seconds"])
    assert float(numbers["tag_count"][0]) == 2
    assert float(numbers["title_length"][0]) == len(found["title"]["text"])
    assert np.asarray(video_asked.audio).any()
