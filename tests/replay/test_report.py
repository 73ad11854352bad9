"""The report: whatever people said in a room is text on the page, and nothing is loaded by it."""

import base64
import csv
import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from limelight.engine.score import Reasons, Score
from limelight.replay.demo_state import DemoState, RoomSeen
from limelight.replay.recording import Recording, load_recording
from limelight.replay.recording_manifest import Credit
from limelight.replay.report import write_report
from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.highlight_records import decode_highlight, encode_highlight
from limelight.streams.settings import DetectorSettings

BASE_MS = 1_700_000_000_000
SEGMENT_MS = 30_000
PLAIN = "a plain word"
EVIL = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "' onload='alert(1)",
    "</svg></style><!-- ]]> <iframe src='http://127.0.0.1/'>",
    "{{ summary }} {% raw %} &lt;b&gt; &amp;",
    "javascript:alert(1) 弹幕 🎉 \u202e",
)

Make = Callable[..., Path]


# Attributes that make a browser fetch something; `src` is looked at by itself.
LOADING = {"href", "xlink:href", "srcset", "action", "formaction", "data", "poster", "http-equiv"}

# Elements that fetch or run something by themselves; `img` is looked at by itself.
FETCHING = {"script", "link", "base", "iframe", "object", "embed", "form", "audio", "video"}


class Page(HTMLParser):
    """A page as a browser takes it: its elements, their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.declarations: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_comment(self, data: str) -> None:
        self.declarations.append(data)

    handle_pi = unknown_decl = handle_comment

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


def seen(recording: Recording, word: str) -> DemoState:
    """What a demo sees of a room that is quiet, lively for one segment, and then ends."""
    state = DemoState({recording.room_id: RoomSeen()})
    detector, trend = HighlightDetector(DetectorSettings()), RoomTrend()
    timings = {"closed_at_ms": 1_000, "scored_at_ms": 1_010}
    values = [0.5] * 6 + [0.9, 0.4]
    for index, value in enumerate(values):
        start_ms = BASE_MS + index * SEGMENT_MS
        score = Score(
            room_id=recording.room_id,
            streamer_id=recording.streamer_id,
            room_started_ms=BASE_MS,
            segment_index=index,
            start_ms=start_ms,
            end_ms=start_ms + SEGMENT_MS,
            ctr=0.5,
            energy=value,
            decided_by="energy",
            decision=value,
            model_version=word,
            reasons=Reasons({"comments": 1.0}, (word,), start_ms + 15_000, 7),
            final=index == len(values) - 1,
        )
        state.see_score(score, timings)
        for event in detector.update(trend, score):
            encoded = encode_highlight(event, timings)
            state.see_highlight(decode_highlight(encoded, max_bytes=100_000))
    return state


@pytest.fixture
def make_page(make_recording: Make, make_video: Make, tmp_path: Path) -> Callable[..., Page]:
    """The report of a room in which everything that somebody may choose is the word."""

    def make(word: str, video: bool = False) -> Page:
        manifest = '[comments]\nfile="c.csv"\n'
        lines = io.StringIO()
        csv.writer(lines).writerows([("time_ms", "user", "text"), (185_000, "u", word)])
        folder = make_recording(manifest, c_csv=lines.getvalue())
        if video:
            make_video(folder / "film.mp4", 3)
            make_recording(manifest + '[video]\nfile="film.mp4"\nloop=true\n')
        recording = replace(
            load_recording(folder),
            room_id=word,
            streamer_id=word,
            title=word,
            note=word,
            credits=(Credit(word, word, None),),
        )
        state = seen(recording, word)
        path = write_report([recording], state, tmp_path, base_ms=BASE_MS, segment_ms=SEGMENT_MS)
        return Page(path.read_text(encoding="utf-8"))

    return make


@pytest.mark.parametrize("word", EVIL)
def test_what_is_said_in_a_room_stays_text(make_page: Callable[..., Page], word: str) -> None:
    page, plain = make_page(word), make_page(PLAIN)
    assert page.elements == plain.elements
    assert page.attributes == [
        (tag, name, value.replace(PLAIN, word)) for tag, name, value in plain.attributes
    ]
    assert (page.declarations, plain.declarations) == (["doctype html"], ["doctype html"])
    assert page.texts == [text.replace(PLAIN, word) for text in plain.texts]
    # Title, room, note, the highlight's reason, comment, credit, its licence, and the model.
    assert sum(text.count(word) for text in page.texts) == 8
    assert page.values("aria-label") == [f"Curves of {word}"]


def test_the_page_loads_nothing_and_runs_nothing(make_page: Callable[..., Page]) -> None:
    page = make_page(PLAIN, video=True)
    assert FETCHING.isdisjoint(page.elements)
    (picture,) = page.values("src")
    head, _, data = picture.partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        assert (image.format, image.size) == ("JPEG", (64, 48))
    assert not any(name.startswith("on") or name in LOADING for _, name, _ in page.attributes)
    assert not any("url(" in text or "@import" in text for text in page.texts)
    assert not any("url(" in value for value in page.values("style"))
