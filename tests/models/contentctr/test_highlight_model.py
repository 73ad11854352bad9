"""ContentCTR-HL agrees with the paper's algorithms written out by hand, and sees whole videos."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limelight.models.contentctr.config import HIGHLIGHT_MODALITIES, ContentCTRConfig
from limelight.models.contentctr.highlight_model import ContentCTRHL
from limelight.models.contentctr.model import ContentCTR

MASKS = ("present", "frame_mask", "history_mask")


def small_config(**changes: object) -> ContentCTRConfig:
    # H * D = 12 differs from C = 10 on purpose.
    sizes = {
        "frame_feature_size": 7,
        "text_feature_size": 5,
        "hidden_size": 10,
        "num_heads": 3,
        "head_dim": 4,
        "num_perceiver_layers": 2,
        "num_decoder_layers": 2,
        "ffn_size": 16,
        "window_length": 12,
        "modalities": HIGHLIGHT_MODALITIES,
    }
    return ContentCTRConfig(**{**sizes, **changes})


def seeded_model(config: ContentCTRConfig) -> ContentCTRHL:
    """In evaluation mode, with weights large enough for every path to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTRHL(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def random_inputs(
    videos: int, frames: int, remembered: int = 4, seed: int = 1
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "frame_features": torch.randn(videos, frames, 7, generator=generator),
        "text_features": torch.randn(videos, frames, 5, generator=generator),
        "history": torch.randn(videos, remembered, 7, generator=generator),
        "present": torch.rand(videos, frames, 2, generator=generator) < 0.7,
        "frame_mask": torch.ones(videos, frames, dtype=torch.bool),
        "history_mask": torch.ones(videos, remembered, dtype=torch.bool),
    }


def norm(x: Tensor, layer: torch.nn.LayerNorm) -> Tensor:
    spread = ((x - x.mean()) ** 2).mean()
    return (x - x.mean()) / torch.sqrt(spread + layer.eps) * layer.weight + layer.bias


def two_layers(x: Tensor, mlp: torch.nn.Sequential) -> Tensor:
    inner = mlp[0].weight @ x + mlp[0].bias
    return mlp[2].weight @ (0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))) + mlp[2].bias


def attention_by_loops(query: Tensor, others: list[Tensor], attention: torch.nn.Module) -> Tensor:
    """Eq. 3-4 for one query (C,) over a list of keys (C,), one head at a time."""
    heads = []
    for head in range(3):
        rows = slice(head * 4, (head + 1) * 4)
        q = attention.query.weight[rows] @ query
        weights = [math.exp(q @ (attention.key.weight[rows] @ each) / 2) for each in others]
        values = [attention.value.weight[rows] @ each for each in others]
        heads.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return attention.output.weight @ torch.cat(heads)


def logits_by_loops(model: ContentCTRHL, inputs: dict[str, Tensor], video: int) -> Tensor:
    """Algorithms 1 and 2 for one video, one frame after the other, without masks or padding."""
    known = [
        two_layers(feature, model.proj_1)
        for feature, there in zip(
            inputs["history"][video], inputs["history_mask"][video], strict=True
        )
        if there
    ]
    user = sum(known) / len(known) if known else model.unknown_user.weight[0]
    sequence = []
    for at in range(int(inputs["frame_mask"][video].sum())):
        tokens = []
        if inputs["present"][video, at, 0]:
            tokens.append(two_layers(inputs["frame_features"][video, at], model.proj_1))
        if inputs["present"][video, at, 1]:
            tokens.append(two_layers(inputs["text_features"][video, at], model.proj_2))
        x = user
        for layer in model.perceiver.layers:
            keys = [norm(each, layer.key_norm) for each in [*tokens, x]]
            x = x + attention_by_loops(norm(x, layer.query_norm), keys, layer.attention)
            x = x + two_layers(norm(x, layer.ffn_norm), layer.ffn)
        sequence.append(x)
    for layer in model.decoder:
        keys = [norm(x, layer.attention_norm) for x in sequence]
        sequence = [
            x + attention_by_loops(key, keys, layer.attention)
            for x, key in zip(sequence, keys, strict=True)
        ]
        sequence = [x + two_layers(norm(x, layer.ffn_norm), layer.ffn) for x in sequence]
    weights, bias = model.head.weight[0], model.head.bias[0]
    return torch.stack([weights @ norm(x, model.final_norm) + bias for x in sequence])


@torch.no_grad()
def test_forward_agrees_with_the_algorithms_written_as_loops() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=3, frames=6)
    inputs["frame_mask"][1, 4:] = False
    inputs["history_mask"][1, 1:] = False
    inputs["history_mask"][2] = False
    found = model(**inputs)
    for video, length in enumerate((6, 4, 6)):
        expected = logits_by_loops(model, inputs, video)
        torch.testing.assert_close(found[video, :length], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_probabilities_are_the_sigmoid_of_the_logits() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=2, frames=3)
    expected = 1 / (1 + torch.exp(-model(**inputs)))
    torch.testing.assert_close(model.probabilities(**inputs), expected)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@torch.no_grad()
def test_what_padding_and_masked_features_hold_changes_nothing(garbage: float) -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=3, frames=6)
    inputs["frame_mask"][1, 4:] = False
    inputs["history_mask"][0, 2:] = False
    inputs["history_mask"][2] = False
    expected = model(**inputs)
    inputs["frame_features"][~(inputs["present"][..., 0] & inputs["frame_mask"])] = garbage
    inputs["text_features"][~(inputs["present"][..., 1] & inputs["frame_mask"])] = garbage
    inputs["history"][~inputs["history_mask"]] = garbage
    inputs["present"][~inputs["frame_mask"]] = True
    assert torch.equal(model(**inputs), expected)
    assert expected.isfinite().all()


@torch.no_grad()
def test_longer_padding_changes_nothing() -> None:
    model = seeded_model(small_config())
    short = random_inputs(videos=2, frames=5)
    long = random_inputs(videos=2, frames=11, remembered=9, seed=2)
    for name, tensor in long.items():
        if name in MASKS:
            tensor[:] = name == "present"
        tensor[:, : short[name].shape[1]] = short[name]
    torch.testing.assert_close(model(**long)[:, :5], model(**short), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_videos_of_a_batch_do_not_know_each_other() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=3, frames=6)
    alone = model(**{name: tensor[1:2] for name, tensor in inputs.items()})
    torch.testing.assert_close(model(**inputs)[1:2], alone, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_every_frame_sees_every_frame() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=1, frames=12)
    inputs["present"][:] = True
    before = model(**inputs)
    for changed in range(12):
        frames = inputs["frame_features"].clone()
        frames[0, changed] *= -3
        after = model(**inputs | {"frame_features": frames})
        assert ((after - before).abs() > 1e-5).all(), changed


@torch.no_grad()
def test_frames_in_another_order_get_the_same_logits_in_that_order() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=2, frames=8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    shuffled = {
        name: tensor[:, order] if tensor.shape[1] == 8 else tensor
        for name, tensor in inputs.items()
    }
    torch.testing.assert_close(model(**shuffled), model(**inputs)[:, order], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_history_matters_and_its_order_does_not() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=2, frames=5)
    before = model(**inputs)
    torch.testing.assert_close(model(**inputs | {"history": inputs["history"].flip(1)}), before)
    other = model(**inputs | {"history": -inputs["history"]})
    assert ((other - before).abs() > 1e-4).all()


@torch.no_grad()
def test_a_history_of_no_length_is_the_unknown_user() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=2, frames=5, remembered=0)
    expected = logits_by_loops(model, inputs, 0)
    torch.testing.assert_close(model(**inputs)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("left_out", "changed"),
    [("history", "history"), ("text", "text_features"), ("picture", "frame_features")],
)
@torch.no_grad()
def test_what_the_config_leaves_out_is_not_looked_at(left_out: str, changed: str) -> None:
    kept = [name for name in HIGHLIGHT_MODALITIES if name != left_out]
    inputs = random_inputs(videos=2, frames=5)
    inputs["present"][:] = True
    others = inputs | {changed: torch.full_like(inputs[changed], float("nan"))}
    without = seeded_model(small_config(modalities=kept))
    assert torch.equal(without(**inputs), without(**others))
    with_it = seeded_model(small_config())
    assert not torch.allclose(with_it(**inputs), without(**inputs), atol=1e-3)


@torch.no_grad()
def test_a_video_of_no_frames_gives_finite_numbers() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(videos=2, frames=5)
    inputs["frame_mask"][1] = False
    assert model(**inputs).isfinite().all()


@pytest.mark.parametrize("fusion", ["self-attention-input", "cross-attention-qkv"])
@torch.no_grad()
def test_other_fusions_know_the_user_too(fusion: str) -> None:
    model = seeded_model(small_config(fusion=fusion))
    inputs = random_inputs(videos=2, frames=5)
    other = model(**inputs | {"history": -inputs["history"]})
    assert not torch.allclose(other, model(**inputs), atol=1e-4)


def test_training_reaches_every_weight() -> None:
    model = seeded_model(small_config()).train()
    inputs = random_inputs(videos=3, frames=6)
    inputs["history_mask"][0] = False
    model(**inputs).square().sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    assert model.unknown_user.weight.grad.abs().sum() > 0


def test_saving_and_loading_gives_the_same_logits_and_no_pickle(tmp_path: Path) -> None:
    model = seeded_model(small_config(calibration_scale=2.0))
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = ContentCTRHL.from_pretrained(tmp_path, use_safetensors=True).eval()
    inputs = random_inputs(videos=2, frames=6)
    with torch.no_grad():
        assert torch.equal(model(**inputs), loaded(**inputs))


def test_each_network_refuses_the_others_modalities() -> None:
    with pytest.raises(ValueError, match=r"modalities: found .*'history'.* some of .*'streamer'"):
        ContentCTR(small_config())
    with pytest.raises(ValueError, match=r"modalities: found .*'streamer'.* some of .*'history'"):
        ContentCTRHL(ContentCTRConfig())
    with pytest.raises(ValueError, match=r"modalities: found .*sound"):
        small_config(modalities=["sound"])


@pytest.mark.parametrize(
    ("name", "tensor", "text"),
    [
        ("frame_features", torch.zeros(2, 3, 8), r"frame_features: found \(2, 3, 8\), expected"),
        ("text_features", torch.zeros(2, 4, 5), r"text_features: found \(2, 4, 5\), expected"),
        ("history", torch.zeros(2, 7), r"history: found \(2, 7\), expected \(2, 0, 7\)"),
        ("history", torch.zeros(2, 4, 6), r"history: found \(2, 4, 6\), expected \(2, 4, 7\)"),
        ("history_mask", torch.ones(2, 3).bool(), r"history_mask: found \(2, 3\), expected"),
        ("history_mask", torch.ones(2, 4), "history_mask: found torch.float32, expected bool"),
        ("frame_mask", torch.ones(2, 4).bool(), r"frame_mask: found \(2, 4\), expected \(2, 3\)"),
        ("frame_mask", torch.ones(2, 3), "frame_mask: found torch.float32, expected bool"),
        ("present", torch.ones(2, 3, 2), r"present: found \(2, 3, 2\) torch.float32"),
        ("present", torch.tensor(True), r"present: found \(\) torch.bool, expected \(B, S, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(name: str, tensor: Tensor, text: str) -> None:
    model = seeded_model(small_config())
    with pytest.raises(ValueError, match=text):
        model(**random_inputs(videos=2, frames=3) | {name: tensor})


def test_more_frames_than_the_window_are_refused() -> None:
    model = seeded_model(small_config())
    with pytest.raises(ValueError, match="frames: found 13, expected at most 12"):
        model(**random_inputs(videos=1, frames=13))
