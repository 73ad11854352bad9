"""The ad network: its layers by plain loops, silence, and what a category it never met changes."""

import numpy as np
import pytest
import torch
from torch import nn

from limelight.models.ad_ctr.config import AdCTRConfig
from limelight.models.ad_ctr.fusion import (
    AllConnectedFusion,
    BaselineFusion,
    count_parameters,
    trimmed_channels,
)
from limelight.models.ad_ctr.model import AdBatch, AdCTR, SoundNetwork

CONFIG = {"visual_size": 6, "audio_size": 5, "embedding_size": 4, "conv_channels": 3}


def make_model(**changes: object) -> AdCTR:
    torch.manual_seed(0)
    return AdCTR(AdCTRConfig(**{**CONFIG, "categories": ["dance", "talk"], **changes})).eval()


def make_batch(count: int = 2, frames: int = 8, patches: int = 5) -> AdBatch:
    generator = torch.Generator().manual_seed(1)
    return AdBatch(
        torch.randn(count, frames, 6, generator=generator),
        torch.randn(count, patches, 5, generator=generator),
        torch.tensor([patches, 2][:count]),
        torch.tensor([1, 0][:count]),
        torch.empty(0),
    )


def plain_convolution(layer: nn.Conv1d, inputs: np.ndarray) -> np.ndarray:
    """(channels, frames) by loops, zeros beyond the ends, then ReLU."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    frames = inputs.shape[1]
    found = np.zeros((len(weight), frames))
    for channel in range(len(weight)):
        for frame in range(frames):
            total = float(bias[channel])
            for place in range(3):
                if 0 <= frame + place - 1 < frames:
                    total += float(weight[channel, :, place] @ inputs[:, frame + place - 1])
            found[channel, frame] = max(0.0, total)
    return found


@pytest.mark.parametrize("kind", [BaselineFusion, AllConnectedFusion])
def test_a_fusion_is_that_of_plain_loops(kind: type[nn.Module]) -> None:
    torch.manual_seed(2)
    fusion = kind(5, 3, 2).eval()
    inputs = torch.randn(1, 5, 4)
    x = inputs[0].numpy().astype(np.float64)
    first = plain_convolution(fusion.first, x)
    if kind is AllConnectedFusion:
        first = np.concatenate([x, first])
    second = plain_convolution(fusion.second, first)
    if kind is AllConnectedFusion:
        second = np.concatenate([first, second])
    head = fusion.head
    expected = head.weight.detach().numpy() @ second.max(1) + head.bias.detach().numpy()
    np.testing.assert_allclose(fusion(inputs)[0].detach().numpy(), expected, atol=1e-5)


def test_the_trimmed_fusion_is_the_largest_that_the_baseline_allows() -> None:
    budget = sum(each.numel() for each in BaselineFusion(30, 16, 1).parameters())
    width = trimmed_channels(30, 16, 1)
    sizes = [
        sum(each.numel() for each in AllConnectedFusion(30, wide, 1).parameters())
        for wide in (width, width + 1)
    ]
    assert sizes[0] <= budget < sizes[1]
    assert count_parameters(AllConnectedFusion(30, width, 1)) == sizes[0]


def test_too_narrow_a_fusion_cannot_be_trimmed() -> None:
    with pytest.raises(ValueError, match="conv_channels: found 1, expected more"):
        trimmed_channels(1000, 1, 1)


def weights(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def plain_sound(network: SoundNetwork, patches: np.ndarray) -> np.ndarray:
    """One clip by plain loops: dense and ReLU, the LSTM's gates, one head's attention, the mean."""
    lstm, attention = network.lstm, network.attention
    dense = np.maximum(patches @ weights(network.dense.weight).T + weights(network.dense.bias), 0)
    size = dense.shape[1]
    state = memory = np.zeros(size)
    hidden = []
    for patch in dense:
        gates = (
            weights(lstm.weight_ih_l0) @ patch + weights(lstm.bias_ih_l0)
            + weights(lstm.weight_hh_l0) @ state + weights(lstm.bias_hh_l0)
        ).reshape(4, size)  # fmt: skip
        entering, kept, new, shown = sigmoid(gates[0]), sigmoid(gates[1]), gates[2], gates[3]
        memory = kept * memory + entering * np.tanh(new)
        state = sigmoid(shown) * np.tanh(memory)
        hidden.append(state)
    projected = hidden @ weights(attention.in_proj_weight).T + weights(attention.in_proj_bias)
    queries, keys, values = np.split(projected, 3, axis=1)
    shares = np.exp(queries @ keys.T / np.sqrt(size))
    mixed = shares / shares.sum(1, keepdims=True) @ values
    out = attention.out_proj
    return (mixed @ weights(out.weight).T + weights(out.bias)).mean(0)


def test_a_sounds_embedding_is_that_of_plain_loops() -> None:
    torch.manual_seed(3)
    network, sounds = SoundNetwork(5, 4).eval(), torch.randn(2, 6, 5)
    nn.init.normal_(network.attention.in_proj_bias)
    found = network(sounds, torch.tensor([6, 2])).detach().numpy()
    for clip, length in enumerate((6, 2)):
        expected = plain_sound(network, sounds[clip, :length].numpy().astype(np.float64))
        np.testing.assert_allclose(found[clip], expected, atol=1e-5)


def test_a_fusion_is_given_frames_and_beside_each_the_sound_and_the_category() -> None:
    model, batch = make_model(), make_batch(count=1)
    given: list[torch.Tensor] = []
    model.fusion.register_forward_pre_hook(lambda fusion, inputs: given.append(inputs[0]))
    for category in (0, 1, 2):
        batch.categories[0] = category
        model(batch)
    assert [each[0, 8:].T.unique(dim=0).tolist() for each in given] == [
        [[0, 0]],
        [[1, 0]],
        [[0, 1]],
    ]
    frames = batch.frames[0].numpy() @ weights(model.visual.weight).T + weights(model.visual.bias)
    np.testing.assert_allclose(given[0][0, :4].T.detach(), np.maximum(frames, 0), atol=1e-5)
    sound = model.sound(batch.sounds, batch.lengths)
    torch.testing.assert_close(given[0][0, 4:8], sound[0][:, None].expand(-1, 8))


def test_only_a_network_that_learns_drops_embeddings() -> None:
    model, batch = make_model(dropout=0.5), make_batch()
    torch.testing.assert_close(model(batch), model(batch))
    model.train()
    assert not torch.allclose(model(batch), model(batch))


def test_what_lies_behind_the_end_of_the_sound_changes_nothing() -> None:
    model, batch = make_model(), make_batch()
    before = model(batch)
    batch.sounds[1, 2:] = torch.nan
    torch.testing.assert_close(model(batch), before)


def test_sound_is_heard_to_its_end() -> None:
    model, batch = make_model(), make_batch()
    before = model(batch)
    batch.sounds[0, 4] += 1
    assert not torch.allclose(model(batch)[0], before[0])


def test_a_silent_clip_has_the_learned_silence() -> None:
    network = SoundNetwork(5, 4)
    nn.init.normal_(network.silence)
    for patches in (0, 3):
        found = network(torch.randn(2, patches, 5), torch.zeros(2, dtype=torch.int64))
        torch.testing.assert_close(found, network.silence.expand(2, -1))


def test_more_clips_in_a_batch_change_none() -> None:
    model, batch = make_model(), make_batch()
    alone = AdBatch(
        batch.frames[1:], batch.sounds[1:, :2], batch.lengths[1:], batch.categories[1:],
        torch.empty(0),
    )  # fmt: skip
    torch.testing.assert_close(model(alone)[0], model(batch)[1])


def test_a_network_begins_at_the_mean_rate() -> None:
    model = make_model(mean_rate=0.02)
    nn.init.zeros_(model.fusion.head.weight)
    torch.testing.assert_close(model(make_batch()).sigmoid(), torch.full((2, 1), 0.02))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "late"}, "fusion: found 'late'"),
        ({"target": "likes"}, "target: found 'likes'"),
        ({"conv_channels": 0}, "conv_channels: found 0"),
        ({"class_edges": [0.1]}, "class_edges: found 1, expected 4 or none"),
        ({"class_edges": [0.4, 0.1, 0.2, 0.3]}, "expected them ascending"),
        ({"mean_rate": 0.0}, r"mean_rate: found 0\.0"),
    ],
)
def test_a_config_that_makes_no_network_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdCTRConfig(**changes)


def test_features_of_another_size_are_refused() -> None:
    batch = make_batch()
    with pytest.raises(ValueError, match=r"frames: found \(2, 8, 6\), expected \(B, any, 7\)"):
        make_model(visual_size=7)(batch)
