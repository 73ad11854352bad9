"""The multi-task network whose input learns to be the joint representation of image and text.

Shape letters:
    B  videos in a batch
    F  features of a cover image
    T  features of a title
    Z  width of the joint representation z
    H  experts
    M  classes of a task

Source: Pu et al., Multimodal Topic Learning for Video Recommendation, section III-A1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from limelight.models.topics.config import TopicsConfig

TASKS = ("primary", "secondary", "tags")
_WEIGHT_STD = 0.02


@dataclass(frozen=True, slots=True)
class TopicLosses:
    """Scalars; `total` is eq. 2, the mean over videos of the sum over the three tasks."""

    total: Tensor
    primary: Tensor
    secondary: Tensor
    tags: Tensor


class TopicModel(PreTrainedModel):  # type: ignore[misc]
    """MMoE over the projected features of cover and title (eq. 1).

    The joint representation is `z = [P_I(x_I), P_T(x_T)]`: one learned projection (linear, GELU,
    linear) of each modality's features, side by side, zeros for a modality that a video lacks. It
    stands where the paper has the outputs of its fine-tuned networks f_C and f_T: fine-tuned here
    is what lies above the encoders, unless these are trained as well (`TopicEncoders`). Experts and
    towers are one linear layer each (the paper does not say), a gate is a linear layer and softmax.
    """

    config_class = TopicsConfig
    base_model_prefix = "topics"
    main_input_name = "image_features"

    def __init__(self, config: TopicsConfig) -> None:
        super().__init__(config)
        if not config.joint_size:
            raise ValueError("feature sizes: found 0 and 0, expected at least one modality")
        size = config.projection_size
        self.image_projection = _projection(config.image_feature_size, size)
        self.text_projection = _projection(config.text_feature_size, size)
        self.experts = nn.Linear(config.joint_size, config.num_experts * config.expert_size)
        classes = (config.num_primary, config.num_secondary, config.num_tags)
        self.gates = nn.ModuleList(nn.Linear(config.joint_size, config.num_experts) for _ in TASKS)
        self.towers = nn.ModuleList(
            nn.Linear(config.expert_size, count) if count else _NoClasses() for count in classes
        )
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def joint(
        self,
        image_features: Tensor,
        text_features: Tensor,
        image_present: Tensor,
        text_present: Tensor,
    ) -> Tensor:
        """(B, Z): z of features (B, F) and (B, T) and where they are present, (B,) bool each."""
        parts = []
        for projection, features, present in (
            (self.image_projection, image_features, image_present),
            (self.text_projection, text_features, text_present),
        ):
            if projection is not None:
                known = present[:, None]
                # Masked on both sides: a NaN would survive, and the biases must not stand in.
                parts.append(projection(features.masked_fill(~known, 0.0)) * known)
        return torch.cat(parts, dim=1)

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        image_present: Tensor,
        text_present: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B, M) logits of each task, whose softmax is p^k; inputs as `joint`."""
        return self.classify(self.joint(image_features, text_features, image_present, text_present))

    def classify(self, joint: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, M) logits of each task from z (B, Z): eq. 1."""
        config = self.config
        experts = self.experts(self.dropout(joint)).relu()  # (B, Z) -> (B, H * E)
        experts = experts.view(-1, config.num_experts, config.expert_size)
        primary, secondary, tags = (
            tower(torch.einsum("bh,bhe->be", gate(joint).softmax(1), experts))
            for gate, tower in zip(self.gates, self.towers, strict=True)
        )
        return primary, secondary, tags

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


def topic_losses(
    logits: tuple[Tensor, Tensor, Tensor], labels: tuple[Tensor, Tensor, Tensor]
) -> TopicLosses:
    """Eq. 2 of logits and labels, (B, M) of each task; a video without a label counts 0 there."""
    parts = [
        -(label * logit.float().log_softmax(1)).sum() / len(label)
        if label.shape[1]
        else logit.new_zeros(())
        for logit, label in zip(logits, labels, strict=True)
    ]
    return TopicLosses(parts[0] + parts[1] + parts[2], *parts)


class _NoClasses(nn.Module):
    """The tower of a task that no video has a label of: logits (B, 0)."""

    def forward(self, mixed: Tensor) -> Tensor:
        return mixed[:, :0]


def _projection(feature_size: int, size: int) -> nn.Sequential | None:
    if not feature_size:
        return None
    return nn.Sequential(nn.Linear(feature_size, size), nn.GELU(), nn.Linear(size, size))
