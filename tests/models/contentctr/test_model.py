"""ContentCTR agrees with the paper's algorithms written out by hand, and leaks nothing."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limelight.models.contentctr.config import ContentCTRConfig, base, tiny
from limelight.models.contentctr.model import (
    ContentCTR,
    banded_causal_mask,
    streamer_bucket,
)

REPOSITORY_ROOT = Path(__file__).parents[3]


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
        "window_length": 4,
        "num_streamers": 9,
    }
    return ContentCTRConfig(**{**sizes, **changes})


def seeded_model(config: ContentCTRConfig) -> ContentCTR:
    """In evaluation mode, with weights large enough for every path to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def random_inputs(
    config: ContentCTRConfig, rooms: int, segments: int, seed: int = 1
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "frame_features": torch.randn(
            rooms, segments, config.frame_feature_size, generator=generator
        ),
        "text_features": torch.randn(
            rooms, segments, config.text_feature_size, generator=generator
        ),
        "streamer_ids": torch.randint(0, config.num_streamers, (rooms,), generator=generator),
        "present": torch.rand(rooms, segments, 2, generator=generator) < 0.7,
    }


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    spread = ((x - x.mean()) ** 2).mean()
    return (x - x.mean()) / torch.sqrt(spread + norm.eps) * norm.weight + norm.bias


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def two_layers(x: Tensor, mlp: torch.nn.Sequential) -> Tensor:
    return mlp[2].weight @ gelu(mlp[0].weight @ x + mlp[0].bias) + mlp[2].bias


def attention_by_loops(query: Tensor, others: list[Tensor], attention: torch.nn.Module) -> Tensor:
    """Eq. 3-4 for one query (C,) over a list of keys (C,), one head at a time."""
    heads = []
    head_count, width = attention.heads
    for head in range(head_count):
        rows = slice(head * width, (head + 1) * width)
        q = attention.query.weight[rows] @ query
        weights = [
            math.exp(float(q @ (attention.key.weight[rows] @ other)) / math.sqrt(width))
            for other in others
        ]
        values = [attention.value.weight[rows] @ other for other in others]
        mixed = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
        heads.append(mixed)
    return attention.output.weight @ torch.cat(heads)


def perceive_by_loops(model: ContentCTR, inputs: dict[str, Tensor], room: int, at: int) -> Tensor:
    """Algorithm 1 for one segment, keys of missing modalities simply left out."""
    tokens = []
    if inputs["present"][room, at, 0]:
        tokens.append(two_layers(inputs["frame_features"][room, at], model.proj_1))
    if inputs["present"][room, at, 1]:
        tokens.append(two_layers(inputs["text_features"][room, at], model.proj_2))
    x = model.streamers.weight[inputs["streamer_ids"][room]]
    for layer in model.perceiver.layers:
        keys = [layer_norm(token, layer.key_norm) for token in [*tokens, x]]
        x = x + attention_by_loops(layer_norm(x, layer.query_norm), keys, layer.attention)
        x = x + two_layers(layer_norm(x, layer.ffn_norm), layer.ffn)
    return x


@torch.no_grad()
def test_perceive_agrees_with_algorithm_1_written_as_loops() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(model.config, rooms=3, segments=5)
    found = model.perceive(**inputs)
    for room in range(3):
        for at in range(5):
            expected = perceive_by_loops(model, inputs, room, at)
            torch.testing.assert_close(found[room, at], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_decode_agrees_with_algorithm_2_written_as_loops() -> None:
    model = seeded_model(small_config())
    sequence = list(torch.randn(9, 10, generator=torch.Generator().manual_seed(2)))
    found = model.decode(torch.stack(sequence)[None])[0]
    for layer in model.decoder:
        normed = [layer_norm(x, layer.attention_norm) for x in sequence]
        sequence = [
            x + attention_by_loops(normed[at], normed[max(0, at - 3) : at + 1], layer.attention)
            for at, x in enumerate(sequence)
        ]
        sequence = [x + two_layers(layer_norm(x, layer.ffn_norm), layer.ffn) for x in sequence]
    expected = [
        float(model.head.weight[0] @ layer_norm(x, model.final_norm) + model.head.bias[0])
        for x in sequence
    ]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_the_mask_is_banded_and_causal() -> None:
    found = banded_causal_mask(5, 3, torch.device("cpu"))
    assert found.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]


def test_a_sequence_within_the_window_gets_the_plain_causal_mask() -> None:
    found = banded_causal_mask(20, 20, torch.device("cpu"))
    assert torch.equal(found, torch.ones(20, 20, dtype=torch.bool).tril())


@torch.no_grad()
def test_future_segments_do_not_change_the_past() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(model.config, rooms=2, segments=10)
    before = model(**inputs)
    inputs["frame_features"][:, 6:] += 5
    inputs["text_features"][:, 6:] -= 5
    after = model(**inputs)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:], atol=1e-3)


@torch.no_grad()
def test_with_one_layer_the_21st_oldest_segment_does_not_matter_and_the_20th_does() -> None:
    model = seeded_model(small_config(window_length=20, num_decoder_layers=1))
    x = torch.randn(1, 21, 10, generator=torch.Generator().manual_seed(3))
    newest = model.decode(x)[0, -1]
    outside, inside = x.clone(), x.clone()
    outside[0, 0] *= -1
    inside[0, 1] *= -1
    assert torch.equal(model.decode(outside)[0, -1], newest)
    assert abs(float(model.decode(inside)[0, -1] - newest)) > 1e-4


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@torch.no_grad()
def test_what_a_masked_feature_holds_changes_nothing(garbage: float) -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(model.config, rooms=3, segments=6)
    inputs["present"][0] = False
    expected = model(**inputs)
    inputs["frame_features"][~inputs["present"][..., 0]] = garbage
    inputs["text_features"][~inputs["present"][..., 1]] = garbage
    assert torch.equal(model(**inputs), expected)
    assert expected.isfinite().all()


@torch.no_grad()
def test_ctr_is_the_sigmoid_of_the_logits() -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(model.config, rooms=2, segments=3)
    expected = 1 / (1 + torch.exp(-model(**inputs)))
    torch.testing.assert_close(model.ctr(**inputs), expected)


def test_training_uses_dropout_and_reaches_every_weight() -> None:
    model = seeded_model(small_config(dropout=0.5)).train()
    inputs = random_inputs(model.config, rooms=3, segments=12)
    first, second = model(**inputs), model(**inputs)
    assert not torch.equal(first, second)
    first.square().sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@torch.no_grad()
def test_a_streamer_whom_training_never_met_is_like_an_unknown_one() -> None:
    model = seeded_model(small_config())
    met = torch.tensor([0, 2, 5])
    model.leave_unmet_unknown(met)
    inputs = random_inputs(model.config, rooms=1, segments=4)
    logits = {
        streamer: model(**{**inputs, "streamer_ids": torch.tensor([streamer])})
        for streamer in range(9)
    }
    alike = {streamer for streamer in range(9) if torch.equal(logits[streamer], logits[0])}
    assert alike == {0, 1, 3, 4, 6, 7, 8}


def test_saving_and_loading_gives_the_same_logits_and_no_pickle(tmp_path: Path) -> None:
    model = seeded_model(small_config(trained=True, model_version="v1"))
    model.save_pretrained(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "model.safetensors"]
    loaded = ContentCTR.from_pretrained(tmp_path, use_safetensors=True).eval()
    inputs = random_inputs(model.config, rooms=2, segments=6)
    with torch.no_grad():
        assert torch.equal(model(**inputs), loaded(**inputs))
    assert loaded.config.trained is True
    assert loaded.config.model_version == "v1"
    assert loaded.config.head_dim == 4


def test_a_fresh_network_is_the_same_for_the_same_seed() -> None:
    torch.manual_seed(5)
    first = ContentCTR(small_config())
    torch.manual_seed(5)
    second = ContentCTR(small_config())
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name


def test_the_base_preset_is_the_papers() -> None:
    config = base()
    assert (config.hidden_size, config.num_heads, config.head_dim) == (512, 8, 64)
    assert (config.num_perceiver_layers, config.num_decoder_layers) == (3, 3)
    assert config.window_length == 20
    assert config.trained is False


def test_the_tiny_preset_is_small() -> None:
    assert sum(weight.numel() for weight in ContentCTR(tiny()).parameters()) < 400_000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hidden_size": 0}, "hidden_size: found 0, expected a whole number >= 1"),
        ({"num_heads": 2.5}, "num_heads: found 2.5, expected a whole number >= 1"),
        ({"window_length": True}, "window_length: found True"),
        ({"num_streamers": 1}, "num_streamers: found 1, expected a whole number >= 2"),
        ({"dropout": 1.0}, "dropout: found 1.0, expected 0 <= dropout < 1"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps: found 0.0, expected more than 0"),
    ],
)
def test_a_config_refuses_impossible_sizes(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        small_config(**change)


@pytest.mark.parametrize(
    ("name", "tensor", "text"),
    [
        ("frame_features", torch.zeros(2, 3, 8), r"frame_features: found \(2, 3, 8\), expected"),
        ("text_features", torch.zeros(2, 4, 5), r"text_features: found \(2, 4, 5\), expected"),
        ("streamer_ids", torch.zeros(3, dtype=torch.int64), r"streamer_ids: found \(3,\)"),
        ("present", torch.ones(2, 3, 2), r"present: found \(2, 3, 2\) torch.float32"),
    ],
)
def test_shapes_that_do_not_fit_are_named(name: str, tensor: Tensor, text: str) -> None:
    model = seeded_model(small_config())
    inputs = random_inputs(model.config, rooms=2, segments=3)
    inputs[name] = tensor
    with pytest.raises(ValueError, match=text):
        model(**inputs)


def test_streamer_buckets_are_stable_and_leave_bucket_0_to_the_unknown() -> None:
    assert streamer_bucket("", 1024) == 0
    # Computed once with coreutils: printf %s streamer-7 | b2sum -l 64
    digest = int("1a95f55a7199f38a", 16)
    assert streamer_bucket("streamer-7", 1024) == 1 + digest % 1023
    buckets = {streamer_bucket(f"streamer-{number}", 8) for number in range(200)}
    assert buckets == set(range(1, 8))


def test_streamer_buckets_need_a_bucket_for_the_known() -> None:
    with pytest.raises(ValueError, match="num_streamers: found 1, expected at least 2"):
        streamer_bucket("a", 1)


def test_the_repository_root_as_working_directory_does_not_break_transformers() -> None:
    program = (
        "from transformers import BertConfig, BertModel, SwinConfig, SwinModel;"
        "BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,"
        " intermediate_size=8, vocab_size=16));"
        "SwinModel(SwinConfig(image_size=16, embed_dim=8, depths=[1], num_heads=[2],"
        " window_size=2))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY_ROOT, env=environment, check=True
    )
