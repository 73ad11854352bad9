import numpy as np
import pytest
import torch

from limelight.models.topics.config import TopicsConfig, paper, tiny
from limelight.models.topics.model import TopicModel, topic_losses


def small(**changes: object) -> TopicsConfig:
    fields: dict[str, object] = {
        "image_feature_size": 5,
        "text_feature_size": 7,
        "projection_size": 4,
        "num_experts": 3,
        "expert_size": 6,
        "num_primary": 2,
        "num_secondary": 5,
        "num_tags": 9,
        "dropout": 0.0,
    }
    return TopicsConfig(**(fields | changes))  # type: ignore[arg-type]


def inputs(count: int = 4) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    image, text = (torch.randn(count, size, generator=generator) for size in (5, 7))
    return image, text, torch.ones(count, dtype=torch.bool), torch.ones(count, dtype=torch.bool)


def test_the_network_is_equation_1_written_as_loops() -> None:
    torch.manual_seed(1)
    model = TopicModel(small()).eval()
    z = model.joint(*inputs())
    found = model.classify(z)
    weights = {name: each.detach().double().numpy() for name, each in model.named_parameters()}
    for task, logits in enumerate(found):
        for row, video in enumerate(z.detach().double().numpy()):
            gate = weights[f"gates.{task}.weight"] @ video + weights[f"gates.{task}.bias"]
            shares = np.exp(gate) / np.exp(gate).sum()
            mixed = np.zeros(6)
            for expert in range(3):
                own = slice(expert * 6, expert * 6 + 6)
                hidden = weights["experts.weight"][own] @ video + weights["experts.bias"][own]
                mixed += shares[expert] * np.maximum(hidden, 0)
            expected = weights[f"towers.{task}.weight"] @ mixed + weights[f"towers.{task}.bias"]
            np.testing.assert_allclose(logits[row].detach(), expected, rtol=1e-4, atol=1e-6)


def test_the_loss_is_equation_2_by_hand() -> None:
    # Softmax of (log 1, log 3) is (1/4, 3/4); of two zeros it is a half each.
    logits = torch.tensor([[0.0, np.log(3.0)], [0.0, 0.0]])
    primary = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    none = torch.zeros(2, 2)
    losses = topic_losses((logits, logits, logits), (primary, none, primary[:, [1, 0]]))
    # The mean over two videos; the second has both classes.
    assert float(losses.primary) == pytest.approx((np.log(4) + 2 * np.log(2)) / 2)
    assert float(losses.secondary) == 0
    assert float(losses.tags) == pytest.approx((np.log(4 / 3) + 2 * np.log(2)) / 2)
    assert float(losses.total) == pytest.approx(float(losses.primary + losses.tags))


def test_a_task_without_classes_costs_nothing() -> None:
    model = TopicModel(small(num_secondary=0))
    logits = model(*inputs())
    labels = (torch.ones(4, 2), torch.zeros(4, 0), torch.ones(4, 9))
    losses = topic_losses(logits, labels)
    assert float(losses.secondary) == 0
    losses.total.backward()


def test_what_is_absent_is_never_looked_at() -> None:
    model = TopicModel(small()).eval()
    image, text, present, text_present = inputs()
    present[1] = False
    expected = model.joint(image, text, present, text_present)
    image[1] = float("nan")
    found = model.joint(image, text, present, text_present)
    torch.testing.assert_close(found, expected)
    assert (found[1, :4] == 0).all()
    assert (found[1, 4:] != 0).any()


def test_a_modality_that_nobody_has_takes_no_place() -> None:
    model = TopicModel(small(image_feature_size=0)).eval()
    _, text, present, _ = inputs()
    assert model.joint(torch.zeros(4, 0), text, ~present, present).shape == (4, 4)
    with pytest.raises(ValueError, match="expected at least one modality"):
        TopicModel(small(image_feature_size=0, text_feature_size=0))


def test_the_paper_preset_has_the_papers_figures() -> None:
    config = paper()
    assert (config.num_experts, config.num_topics, config.walk_length) == (12, 6000, 100)
    assert (config.num_primary, config.num_secondary, config.num_tags) == (50, 367, 12_000)
    assert config.similarity_threshold == 0.6
    assert tiny().num_topics < 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_topics": 0}, "num_topics: found 0"),
        ({"num_experts": 1.5}, "num_experts: found 1.5"),
        ({"similarity_threshold": 2}, "similarity_threshold: found 2, expected -1 to 1"),
        ({"dropout": 1.0}, "dropout: found 1.0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)
