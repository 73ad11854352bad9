"""The scorer answers each window once, in order, and one bad window harms no other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.errors import EncoderMismatch
from limelight.engine.network import untrained_network
from limelight.engine.score import Rejected, Score
from limelight.engine.scorer import Scorer, load_scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.tiny_encoders import FRAME_WEIGHTS
from limelight.engine.weights import weights_revision
from limelight.engine.window import Window
from limelight.models.contentctr.model import ContentCTR, streamer_bucket

MakeWindow = Callable[..., Window]


def scorer(**changes: Any) -> Scorer:
    settings = EngineSettings(**{"cache_slots": 8, **changes})
    return load_scorer(settings, load_frame_encoder("tiny"))


def lively_network() -> ContentCTR:
    """Random weights large enough that every segment of the window moves the logit."""
    model = untrained_network(load_frame_encoder("tiny"), load_text_encoder("tiny"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def lively_scorer(trained: bool = True, **changes: Any) -> Scorer:
    model = lively_network()
    model.config.trained = trained
    model.config.model_version = "v7"
    settings = EngineSettings(**{"cache_slots": 8, "explain_above": 0.0, **changes})
    return Scorer(model, load_text_encoder("tiny"), settings)


def full_forward(model: ContentCTR, window: Window) -> float:
    """The CTR of the newest segment by one plain forward over these segments."""
    texts = load_text_encoder("tiny")
    frames = np.stack([segment.frame_feature for segment in window.segments]).astype(np.float32)
    features = texts.encode([(s.speech, s.comments) for s in window.segments]).astype(np.float32)
    with torch.no_grad():
        ctr = model.ctr(
            torch.from_numpy(frames)[None],
            torch.from_numpy(features)[None],
            torch.tensor([streamer_bucket(window.streamer_id, model.config.num_streamers)]),
            torch.ones(1, len(window.segments), 2, dtype=torch.bool),
        )
    return float(ctr[0, -1])


def test_a_room_followed_from_its_start_scores_as_the_banded_forward(
    make_window: MakeWindow,
) -> None:
    found = lively_scorer()
    for newest in range(30):
        (score,) = found.score([make_window(newest)])
        expected = full_forward(found.model, make_window(newest, length=newest + 1))
        assert isinstance(score, Score)
        assert score.ctr == pytest.approx(expected, abs=2e-6)
    assert (found.prefills, found.decode_steps) == (1, 29)


def test_window_semantics_score_as_the_forward_over_the_window(make_window: MakeWindow) -> None:
    found = lively_scorer(semantics="window")
    for newest in range(15, 30):
        (score,) = found.score([make_window(newest)])
        assert isinstance(score, Score)
        assert score.ctr == pytest.approx(full_forward(found.model, make_window(newest)), abs=2e-6)
    assert (found.prefills, found.decode_steps) == (1, 14)


def test_scoring_rooms_together_gives_what_scoring_them_alone_gives(
    make_window: MakeWindow,
) -> None:
    together, alone = lively_scorer(), lively_scorer(max_rooms_per_batch=1)
    for step in range(6):
        windows = [make_window(step + age, f"room {age}") for age in (0, 3, 19, 30)]
        found, expected = together.score(windows), alone.score(windows)
        assert [score.ctr for score in found] == pytest.approx(  # type: ignore[union-attr]
            [score.ctr for score in expected],  # type: ignore[union-attr]
            abs=2e-6,
        )


def test_several_windows_of_a_room_in_one_call_are_scored_in_order(
    make_window: MakeWindow,
) -> None:
    windows = [
        make_window(4, "a"),
        make_window(5, "a"),
        make_window(9, "b"),
        make_window(6, "a"),
    ]
    at_once, one_by_one = lively_scorer(), lively_scorer()
    found = at_once.score(windows)
    expected = [one_by_one.score([window])[0] for window in windows]
    assert [(s.room_id, s.segment_index) for s in found] == [  # type: ignore[union-attr]
        ("a", 4),
        ("a", 5),
        ("b", 9),
        ("a", 6),
    ]
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Score) and isinstance(other, Score)
        assert one.ctr == pytest.approx(other.ctr, abs=2e-6)
    assert (at_once.prefills, at_once.decode_steps) == (2, 2)


def test_a_window_delivered_again_gives_nothing_and_is_counted(make_window: MakeWindow) -> None:
    found = scorer()
    assert len(found.score([make_window(5), make_window(5)])) == 1
    assert found.score([make_window(5), make_window(3)]) == []
    assert found.repeated == 3
    (score,) = found.score([make_window(6)])
    assert isinstance(score, Score) and score.segment_index == 6
    assert found.decode_steps == 1


def test_a_gap_is_bridged_by_a_prefill_from_the_message(make_window: MakeWindow) -> None:
    found = lively_scorer()
    found.score([make_window(25)])
    (score,) = found.score([make_window(28)])
    (expected,) = lively_scorer().score([make_window(28)])
    assert isinstance(score, Score) and isinstance(expected, Score)
    assert score.ctr == pytest.approx(expected.ctr, abs=2e-6)
    assert (found.prefills, found.decode_steps) == (2, 0)


def test_after_a_gap_only_unseen_segments_are_encoded_again(
    make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scorer()
    encoded: list[int] = []
    texts = found._text_encoder
    encode = texts.encode
    monkeypatch.setattr(texts, "encode", lambda pairs: encoded.append(len(pairs)) or encode(pairs))
    found.score([make_window(25)])
    found.score([make_window(26)])
    found.score([make_window(29)])
    assert encoded == [20, 1, 3]


def test_a_room_started_again_begins_anew(make_window: MakeWindow) -> None:
    found = lively_scorer()
    found.score([make_window(2)])
    # The same numbers, yet another run: neither the cached state nor the cached texts apply.
    other_texts = {index: {"speech": f"another {index}"} for index in range(4)}
    again = make_window(3, room_started_ms=900_000, segment_changes=other_texts)
    (score,) = found.score([again])
    (expected,) = lively_scorer().score([again])
    assert isinstance(score, Score) and isinstance(expected, Score)
    assert score.ctr == expected.ctr
    assert score.room_started_ms == 900_000
    # What the log still delivers of the earlier run is old news.
    assert found.score([make_window(4)]) == []
    assert found.repeated == 1


def test_the_final_window_is_scored_and_frees_the_slot(make_window: MakeWindow) -> None:
    found = scorer(cache_slots=1)
    (score,) = found.score([make_window(3, "a", final=True)])
    assert isinstance(score, Score) and score.final
    assert len(found._slots) == 0
    found.score([make_window(3, "b")])
    found.score([make_window(4, "b")])
    assert found.decode_steps == 1


def test_more_rooms_than_slots_are_scored_all_the_same(make_window: MakeWindow) -> None:
    found, roomy = lively_scorer(cache_slots=2), lively_scorer()
    for newest in (7, 8):
        windows = [make_window(newest, room_id) for room_id in "abcde"]
        assert len(found.score(windows)) == 5
    assert found.prefills == 10
    (score,) = found.score([make_window(9, "e")])
    roomy.score([make_window(8, "e")])
    (expected,) = roomy.score([make_window(9, "e")])
    assert isinstance(score, Score) and isinstance(expected, Score)
    assert score.ctr == pytest.approx(expected.ctr, abs=2e-6)


BAD_WINDOWS: list[tuple[dict[str, Any], str]] = [
    ({"encoder_id": "other"}, "frame encoder: found 'other', expected 'tiny'"),
    (
        {"encoder_revision": "v2"},
        f"frame encoder tiny: found revision 'v2', expected '{weights_revision([FRAME_WEIGHTS])}'",
    ),
    (
        {"segment_changes": {5: {"frame_feature": np.zeros(47, np.float16)}}},
        "segment 5: found frame feature of shape (47,), expected (48,)",
    ),
    (
        {"segment_changes": {2: {"frame_feature": np.full(48, np.nan, np.float16)}}},
        "segment 2: found a frame feature with NaN or infinity, expected finite numbers",
    ),
    (
        {"segment_changes": {1: {"comment_weight": float("inf")}}},
        "segment 1: found comment weight inf, expected finite, >= 0",
    ),
    (
        {"segment_changes": {3: {"index": 4}}},
        "segments: found index 4 at 90000 ms, expected 3 at 90000 ms",
    ),
    (
        {"segment_changes": {3: {"start_ms": 1}}},
        "segments: found index 3 at 1 ms, expected 3 at 90000 ms",
    ),
    ({"segments": ()}, "segments: found 0, expected 1 to 20"),
    ({"segment_ms": 0}, "segment_ms: found 0, expected at least 1"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD_WINDOWS)
def test_a_bad_window_is_rejected_with_its_reason_and_harms_no_other(
    changes: dict[str, Any], reason: str, make_window: MakeWindow
) -> None:
    found = scorer()
    bad = make_window(5, "bad", **changes)
    results = found.score([make_window(5, "a"), bad, make_window(5, "b")])
    assert [type(result) for result in results] == [Score, Rejected, Score]
    assert results[1] == Rejected(bad, reason)


def test_a_window_longer_than_the_networks_is_rejected(make_window: MakeWindow) -> None:
    (result,) = scorer().score([make_window(30, length=21)])
    assert isinstance(result, Rejected)
    assert result.reason == "segments: found 21, expected 1 to 20"


def test_a_rejected_window_leaves_its_room_as_it_was(make_window: MakeWindow) -> None:
    found = scorer()
    found.score([make_window(5), make_window(6, encoder_id="other"), make_window(6)])
    assert (found.prefills, found.decode_steps) == (1, 1)


def test_a_window_without_pictures_needs_no_encoder(make_window: MakeWindow) -> None:
    blind = {index: {"frame_feature": None, "frame_times_ms": ()} for index in range(6)}
    window = make_window(5, encoder_id="", encoder_revision="", segment_changes=blind)
    (score,) = scorer().score([window])
    assert isinstance(score, Score)
    assert score.reasons.key_frame_ms is None


def test_a_room_without_anything_at_all_is_scored(make_window: MakeWindow) -> None:
    nothing = {"frame_feature": None, "speech": "", "comments": (), "comment_weight": 0.0}
    window = make_window(2, segment_changes={index: nothing for index in range(3)})
    (score,) = scorer().score([window])
    assert isinstance(score, Score)
    assert score.energy == 0.5


def test_a_network_gone_wrong_is_rejected_and_its_room_prefilled_anew(
    make_window: MakeWindow,
) -> None:
    found = scorer()
    with torch.no_grad():
        found.model.head.bias.fill_(float("nan"))
    (result,) = found.score([make_window(5)])
    assert isinstance(result, Rejected)
    assert result.reason == "logit: found nan, expected a finite number"
    with torch.no_grad():
        found.model.head.bias.zero_()
    assert isinstance(found.score([make_window(5)])[0], Score)
    assert found.prefills == 2


def test_after_a_failure_in_mid_batch_the_rooms_are_prefilled_and_none_is_skipped(
    make_window: MakeWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lively_scorer()
    found.score([make_window(25, "a")])

    def out_of_memory(*_: object) -> None:
        raise RuntimeError("out of memory")

    # By then the new segments lie in the cache.
    with monkeypatch.context() as patch:
        patch.setattr("limelight.engine.scorer.energies", out_of_memory)
        with pytest.raises(RuntimeError, match="out of memory"):
            found.score([make_window(26, "a"), make_window(6, "b")])
    windows = [make_window(26, "a"), make_window(6, "b")]
    for score, expected in zip(found.score(windows), lively_scorer().score(windows), strict=True):
        assert isinstance(score, Score) and isinstance(expected, Score)
        assert score.ctr == pytest.approx(expected.ctr, abs=1e-6)
    assert found.repeated == 0


def test_an_untrained_network_leaves_the_decision_to_the_energy(make_window: MakeWindow) -> None:
    found = scorer(model="tiny-untrained")
    lively = {"comment_weight": 9.0, "user_count": 9}
    (score,) = found.score([make_window(5, segment_changes={5: lively})])
    assert isinstance(score, Score)
    # Five segments of weight 2 expect 2; with the prior of 3: (9 + 3) / (9 + 2 + 6).
    assert score.energy == pytest.approx(12 / 17)
    assert score.decision == score.energy
    assert score.decided_by == "energy"
    assert score.model_version == "tiny-untrained-seed0"
    assert score.reasons.modality_shares == {"comments": 1.0}
    assert 0 < score.ctr < 1


def test_a_trained_network_decides_and_says_what_it_saw(make_window: MakeWindow) -> None:
    found = lively_scorer()
    (score,) = found.score([make_window(5)])
    assert isinstance(score, Score)
    assert (score.decided_by, score.model_version) == ("network", "v7")
    assert score.decision == score.ctr
    assert score.reasons.key_frame_ms == 165_000
    assert score.reasons.strongest_comments == ("hello 5", "666")
    assert (score.start_ms, score.end_ms) == (150_000, 180_000)


@pytest.mark.parametrize("semantics", ["rolling", "window"])
def test_modality_shares_are_what_is_lost_by_masking(
    semantics: str, make_window: MakeWindow
) -> None:
    found = lively_scorer(semantics=semantics)
    for newest in range(18, 25):
        (score,) = found.score([make_window(newest)])
    blind, deaf = ({24: {"frame_feature": None}}, {24: {"speech": "", "comments": ()}})
    lower = []
    for masked in (blind, deaf):
        other = lively_scorer(semantics=semantics)
        for newest in range(18, 24):
            other.score([make_window(newest)])
        (changed,) = other.score([make_window(24, segment_changes=masked)])
        lower.append(changed.ctr)  # type: ignore[union-attr]
    assert isinstance(score, Score)
    drops = [max(0.0, score.ctr - ctr) for ctr in lower]
    shares = score.reasons.modality_shares
    assert sum(drops) > 0
    assert shares["picture"] == pytest.approx(drops[0] / sum(drops), abs=0.02)
    assert shares["text"] == pytest.approx(drops[1] / sum(drops), abs=0.02)


def test_only_a_high_ctr_is_explained(make_window: MakeWindow) -> None:
    found = lively_scorer(explain_above=1.0)
    (score,) = found.score([make_window(5)])
    assert isinstance(score, Score)
    assert score.reasons.modality_shares == {}


def test_explaining_changes_no_later_score(make_window: MakeWindow) -> None:
    explaining, silent = lively_scorer(), lively_scorer(explain_above=1.0)
    for newest in range(25):
        (one,), (other,) = (each.score([make_window(newest)]) for each in (explaining, silent))
        assert isinstance(one, Score) and isinstance(other, Score)
        assert one.ctr == other.ctr


def test_no_windows_give_no_scores() -> None:
    assert scorer().score([]) == []


def test_a_saved_network_is_loaded_with_its_version(
    make_window: MakeWindow, tmp_path: Path
) -> None:
    model = lively_network()
    model.config.trained = True
    model.config.model_version = "2024-05-01"
    model.save_pretrained(tmp_path)
    found = load_scorer(EngineSettings(model=str(tmp_path), cache_slots=2))
    (score,) = found.score([make_window(5)])
    assert isinstance(score, Score)
    assert (score.model_version, score.decided_by) == ("2024-05-01", "network")
    assert score.ctr == pytest.approx(full_forward(model, make_window(5)), abs=2e-6)


def test_a_network_over_other_encoders_is_refused_at_the_start(tmp_path: Path) -> None:
    model = lively_network()
    model.config.text_encoder_revision = "v2"
    with pytest.raises(EncoderMismatch, match="text encoder tiny: found revision"):
        Scorer(model, load_text_encoder("tiny"), EngineSettings(cache_slots=1))
    model.config.text_encoder_revision = ""
    model.config.frame_encoder_id = "swin-base"
    model.save_pretrained(tmp_path)
    with pytest.raises(EncoderMismatch, match="frame encoder: found 'tiny', expected 'swin-base'"):
        load_scorer(EngineSettings(model=str(tmp_path)), load_frame_encoder("tiny"))


def test_a_score_keeps_streamer_and_room_apart(make_window: MakeWindow) -> None:
    found = lively_scorer()
    window = make_window(5, "a")
    one, other = found.score([window, replace(window, room_id="b", streamer_id="someone else")])
    assert isinstance(one, Score) and isinstance(other, Score)
    assert other.streamer_id == "someone else"
    assert one.ctr != pytest.approx(other.ctr, abs=1e-4)


def test_warming_up_leaves_no_trace(make_window: MakeWindow) -> None:
    cold, warm = lively_scorer(), lively_scorer()
    warm.warm_up()
    windows = [make_window(newest) for newest in range(3)]
    assert warm.score(windows) == cold.score(windows)
    assert (warm.prefills, warm.decode_steps) == (cold.prefills, cold.decode_steps)
