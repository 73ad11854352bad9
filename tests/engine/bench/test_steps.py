"""The peers do the work that the served step does: the same logits."""

import pytest
import torch
from torch import Tensor

from limelight.engine.bench.segments import Segments, made_up_segments
from limelight.engine.bench.steps import HuggingFaceDecoder, ServedStep
from limelight.engine.window_decoder import WindowDecoder
from limelight.models.contentctr.config import tiny
from limelight.models.contentctr.model import ContentCTR

ROOMS = 3
WINDOW = 20


def lively_model() -> ContentCTR:
    """Random weights large enough that every segment that is seen moves the logit."""
    torch.manual_seed(4)
    model: ContentCTR = ContentCTR(tiny()).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def first(segments: Segments, count: int) -> Segments:
    return Segments(
        segments.frames[:, :count],
        segments.texts[:, :count],
        segments.streamers,
        segments.present[:, :count],
    )


@torch.inference_mode()
def test_a_full_window_gives_the_same_in_every_way() -> None:
    model = lively_model()
    segments = made_up_segments(model, ROOMS, WINDOW)
    expected = model(*segments.all())[:, -1]
    x = model.perceive(*segments.all())
    step = ServedStep(model, ROOMS)
    step.prefill(segments.before())
    window = WindowDecoder(model, ROOMS)
    window.prefill(step.slots, x[:, :-1], torch.full((ROOMS,), WINDOW - 1))
    found = {
        "served": step(*segments.newest()),
        "window": window.decode_step(step.slots, x[:, -1]),
    }
    for static in (True, False):
        peer = HuggingFaceDecoder(model, static=static)
        peer.prefill(x[:, :-1])
        found[f"static {static}"] = peer.decode_step(x[:, -1])
    for name, logits in found.items():
        torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("static", [True, False])
@torch.inference_mode()
def test_hugging_faces_cache_slides_as_the_ring_does(static: bool) -> None:
    model = lively_model()
    segments = made_up_segments(model, ROOMS, 2 * WINDOW + 7)
    x = model.perceive(*segments.all())
    banded = model.decode(x)
    young = 5
    step, peer = ServedStep(model, ROOMS), HuggingFaceDecoder(model, static=static)
    served: list[Tensor] = [step.prefill(first(segments, young))]
    theirs: list[Tensor] = [peer.prefill(x[:, :young])]
    for at in range(young, x.shape[1]):
        newest = segments.frames[:, at], segments.texts[:, at]
        served.append(step(*newest, segments.streamers, segments.present[:, at]).clone())
        theirs.append(peer.decode_step(x[:, at]))
    expected = banded[:, young - 1 :]
    torch.testing.assert_close(torch.stack(served, 1), expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(torch.stack(theirs, 1), expected, atol=2e-5, rtol=1e-4)


def test_the_newest_segment_is_the_last() -> None:
    model = lively_model()
    segments = made_up_segments(model, ROOMS, 4)
    assert torch.equal(segments.newest()[0], segments.frames[:, 3])
    assert torch.equal(segments.before().texts, segments.texts[:, :3])
