"""The six fusions agree with plain loops over one segment, and see only what they may."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limelight.models.contentctr.attention import FusionLayer
from limelight.models.contentctr.config import FUSIONS, ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR

PICTURE_AND_TEXT = ((True, True), (True, False), (False, True), (False, False))


def small_config(**changes: object) -> ContentCTRConfig:
    sizes = {
        "frame_feature_size": 7,
        "text_feature_size": 5,
        "hidden_size": 10,
        "num_heads": 3,
        "head_dim": 4,
        "num_perceiver_layers": 3,
        "num_decoder_layers": 1,
        "ffn_size": 16,
        "window_length": 4,
        "num_streamers": 9,
    }
    return ContentCTRConfig(**{**sizes, **changes})


def seeded_model(**changes: object) -> ContentCTR:
    """In evaluation mode, with weights large enough for every path to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(small_config(**changes))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def inputs_of_every_presence() -> dict[str, Tensor]:
    """Three rooms of four segments: both, picture only, text only, neither."""
    generator = torch.Generator().manual_seed(1)
    return {
        "frame_features": torch.randn(3, 4, 7, generator=generator),
        "text_features": torch.randn(3, 4, 5, generator=generator),
        "streamer_ids": torch.tensor([1, 8, 3]),
        "present": torch.tensor([PICTURE_AND_TEXT] * 3),
    }


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    spread = ((x - x.mean()) ** 2).mean()
    return (x - x.mean()) / torch.sqrt(spread + norm.eps) * norm.weight + norm.bias


def two_layers(x: Tensor, mlp: torch.nn.Sequential) -> Tensor:
    hidden = mlp[0].weight @ x + mlp[0].bias
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return mlp[2].weight @ hidden + mlp[2].bias


def read(x: Tensor, others: list[Tensor], layer: FusionLayer) -> Tensor:
    """One layer for one query (C,) over a list of keys (C,), one head at a time."""
    query, keys = layer_norm(x, layer.query_norm), [layer_norm(o, layer.key_norm) for o in others]
    attention, heads = layer.attention, []
    head_count, width = attention.heads
    for head in range(head_count):
        rows = slice(head * width, (head + 1) * width)
        q = attention.query.weight[rows] @ query
        weights = [
            math.exp(float(q @ (attention.key.weight[rows] @ key)) / math.sqrt(width))
            for key in keys
        ]
        values = [attention.value.weight[rows] @ key for key in keys]
        heads.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    x = x + attention.output.weight @ torch.cat(heads)
    return x + two_layers(layer_norm(x, layer.ffn_norm), layer.ffn)


def mean(vectors: list[Tensor]) -> Tensor:
    return sum(vectors[1:], vectors[0]) / len(vectors)


# Each takes the layers, the streamer, the tokens that are there, and the same or, where none is,
# the tokens of zero features: what a fusion looks at that could not look at anything else.
def perceiver(layers, streamer, tokens, tokens_or_blank) -> Tensor:
    x = streamer
    for layer in layers:
        x = read(x, [*tokens, x], layer)
    return x


def self_attention_plain(layers, streamer, tokens, tokens_or_blank) -> Tensor:
    xs = tokens_or_blank
    for layer in layers:
        xs = [read(x, xs, layer) for x in xs]
    return mean(xs)


def self_attention_input(layers, streamer, tokens, tokens_or_blank) -> Tensor:
    xs = [*tokens, streamer]
    for layer in layers:
        xs = [read(x, xs, layer) for x in xs]
    return mean(xs)


def cross_attention_q(layers, streamer, tokens, tokens_or_blank) -> Tensor:
    keys = tokens_or_blank
    for layer in layers:
        keys = [read(streamer, keys, layer)]
    return keys[0]


def cross_attention_kv(layers, streamer, tokens, tokens_or_blank) -> Tensor:
    xs = tokens_or_blank
    for layer in layers:
        xs = [read(x, [streamer], layer) for x in xs]
    return mean(xs)


def cross_attention_qkv(layers, streamer, tokens, tokens_or_blank) -> Tensor:
    x = streamer
    for layer in layers:
        x = read(x, tokens_or_blank, layer)
    return x


BY_LOOPS: dict[str, Callable[..., Tensor]] = {
    "perceiver": perceiver,
    "self-attention-plain": self_attention_plain,
    "self-attention-input": self_attention_input,
    "cross-attention-q": cross_attention_q,
    "cross-attention-kv": cross_attention_kv,
    "cross-attention-qkv": cross_attention_qkv,
}


def test_every_fusion_is_written_out_here() -> None:
    assert set(BY_LOOPS) == set(FUSIONS)


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_a_fusion_agrees_with_loops_whatever_is_missing(fusion: str) -> None:
    model, inputs = seeded_model(fusion=fusion), inputs_of_every_presence()
    found = model.perceive(**inputs)
    for room in range(3):
        for at, (has_picture, has_text) in enumerate(PICTURE_AND_TEXT):
            tokens = []
            if has_picture:
                tokens.append(two_layers(inputs["frame_features"][room, at], model.proj_1))
            if has_text:
                tokens.append(two_layers(inputs["text_features"][room, at], model.proj_2))
            blank = [
                two_layers(torch.zeros(7), model.proj_1),
                two_layers(torch.zeros(5), model.proj_2),
            ]
            streamer = model.streamers.weight[inputs["streamer_ids"][room]]
            expected = BY_LOOPS[fusion](model.perceiver.layers, streamer, tokens, tokens or blank)
            torch.testing.assert_close(found[room, at], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1e30])
@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_what_a_masked_feature_holds_changes_no_fusion(fusion: str, garbage: float) -> None:
    model, inputs = seeded_model(fusion=fusion), inputs_of_every_presence()
    expected = model(**inputs)
    inputs["frame_features"][~inputs["present"][..., 0]] = garbage
    inputs["text_features"][~inputs["present"][..., 1]] = garbage
    assert expected.isfinite().all()
    assert torch.equal(model(**inputs), expected)


def changed_by(model: ContentCTR, name: str) -> bool:
    """Whether another value of one input changes what is made of segments that have all."""
    inputs = inputs_of_every_presence()
    inputs["present"][:] = True
    before = model.perceive(**inputs)
    inputs[name] = (inputs[name] + 1) % 9
    after = model.perceive(**inputs)
    if torch.equal(before, after):
        return False
    # Not by a rounding, but in every segment.
    assert ((before - after).abs().amax(2) > 1e-4).all()
    return True


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_only_the_plain_fusion_is_blind_to_the_streamer(fusion: str) -> None:
    model = seeded_model(fusion=fusion)
    assert changed_by(model, "streamer_ids") is (fusion != "self-attention-plain")
    assert changed_by(model, "frame_features")
    assert changed_by(model, "text_features")


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(
    ("left_out", "name"),
    [("picture", "frame_features"), ("text", "text_features"), ("streamer", "streamer_ids")],
)
@torch.no_grad()
def test_a_modality_that_the_config_leaves_out_is_not_looked_at(
    fusion: str, left_out: str, name: str
) -> None:
    kept = [each for each in ("picture", "text", "streamer") if each != left_out]
    model = seeded_model(fusion=fusion, modalities=kept)
    assert not changed_by(model, name)


@torch.no_grad()
def test_without_the_streamer_everyone_is_the_unknown_one() -> None:
    inputs = inputs_of_every_presence()
    found = seeded_model(modalities=["picture", "text"]).perceive(**inputs)
    inputs["streamer_ids"][:] = 0
    assert torch.equal(found, seeded_model().perceive(**inputs))


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_the_streamer_alone_still_gives_a_finite_output(fusion: str) -> None:
    model = seeded_model(fusion=fusion, modalities=["streamer"])
    assert model(**inputs_of_every_presence()).isfinite().all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_weight_of_a_fusion_learns(fusion: str) -> None:
    model = seeded_model(fusion=fusion)
    model(**inputs_of_every_presence()).square().sum().backward()
    untouched = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert untouched == ({"streamers.weight"} if fusion == "self-attention-plain" else set())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"fusion": "concat"}, r"fusion: found 'concat', expected one of .*'cross-attention-qkv'"),
        ({"modalities": ["sound"]}, r"modalities: found \['sound'\], expected some of .*'picture'"),
        ({"modalities": []}, r"modalities: found \[\], expected some of"),
        ({"modalities": "picture"}, r"modalities: found 'picture', expected some of"),
        ({"calibration_scale": 0.0}, "calibration_scale: found 0.0, expected a number above 0"),
        ({"calibration_scale": "1"}, "calibration_scale: found '1', expected a number above 0"),
        ({"calibration_shift": math.inf}, "calibration_shift: found inf, expected a finite"),
        ({"calibration_shift": None}, "calibration_shift: found None, expected a finite"),
        ({"dropout": "0.1"}, "dropout: found '0.1', expected 0 <= dropout < 1"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps: found 'small', expected more than 0"),
    ],
)
def test_a_config_refuses_what_it_does_not_know(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        small_config(**change)


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_saving_keeps_fusion_modalities_and_calibration(fusion: str, tmp_path: Path) -> None:
    model = seeded_model(
        fusion=fusion,
        modalities=["text", "streamer"],
        calibration_scale=1.75,
        calibration_shift=-0.5,
    )
    model.save_pretrained(tmp_path)
    loaded = ContentCTR.from_pretrained(tmp_path, use_safetensors=True).eval()
    assert (loaded.config.fusion, loaded.config.modalities) == (fusion, ["text", "streamer"])
    assert (loaded.config.calibration_scale, loaded.config.calibration_shift) == (1.75, -0.5)
    inputs = inputs_of_every_presence()
    assert torch.equal(model(**inputs), loaded(**inputs))


@torch.no_grad()
def test_calibration_stretches_and_shifts_the_logits_and_keeps_their_order() -> None:
    inputs = inputs_of_every_presence()
    plain = seeded_model()(**inputs)
    found = seeded_model(calibration_scale=2.5, calibration_shift=-1.25)(**inputs)
    expected = [[2.5 * each - 1.25 for each in room] for room in plain.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert torch.equal(found.flatten().argsort(), plain.flatten().argsort())
