"""Encoders of cover and title that learn together with the network above them (eq. 1 and 2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from limelight.models.topics.model import TopicLosses, TopicModel, topic_losses


@dataclass(frozen=True, slots=True)
class RawTopicBatch:
    """B videos before any encoder.

    Args:
        pixel_values: (B, 3, height, width) float, as the image encoder's processor gives them.
        token_ids: (B, length) int64 of the titles; 0 pads.
        image_present, text_present: (B,) bool; what is absent is never looked at.
        labels: (B, M) of each task.
    """

    pixel_values: Tensor
    token_ids: Tensor
    image_present: Tensor
    text_present: Tensor
    labels: tuple[Tensor, Tensor, Tensor]


class EncodedTopicNetwork(nn.Module):
    """From covers and titles to the losses: f_C and f_T are fine-tuned with the MMoE.

    A cover's feature is the image encoder's pooled output, a title's the text encoder's first
    token. `features` gives both for `TopicModel`, whose z they then are the input of.

    Args:
        image_encoder, text_encoder: networks of transformers; the paper's are
            Inception-ResNet-v2 and BERT.
        topics: with the feature sizes of these encoders.

    Raises:
        ValueError: encoders of another feature size than the network's.
    """

    def __init__(
        self, image_encoder: PreTrainedModel, text_encoder: PreTrainedModel, topics: TopicModel
    ) -> None:
        super().__init__()
        for name, encoder in (("image", image_encoder), ("text", text_encoder)):
            found = int(encoder.config.hidden_size)
            expected = int(getattr(topics.config, f"{name}_feature_size"))
            if found != expected:
                raise ValueError(f"{name}_feature_size: found {found}, expected {expected}")
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.topics = topics

    def forward(self, batch: RawTopicBatch) -> TopicLosses:
        image, text = self.features(batch)
        logits = self.topics(image, text, batch.image_present, batch.text_present)
        return topic_losses(logits, batch.labels)

    def features(self, batch: RawTopicBatch) -> tuple[Tensor, Tensor]:
        """(B, F) and (B, T); zeros where nothing is present."""
        config = self.topics.config
        image = batch.pixel_values.new_zeros(len(batch.token_ids), config.image_feature_size)
        text = torch.zeros(len(batch.token_ids), config.text_feature_size, device=image.device)
        if batch.image_present.any():
            pixels = batch.pixel_values[batch.image_present]
            pooled = self.image_encoder(pixel_values=pixels).pooler_output
            image[batch.image_present] = pooled.flatten(1).to(image.dtype)
        if batch.text_present.any():
            tokens = batch.token_ids[batch.text_present]
            states = self.text_encoder(input_ids=tokens, attention_mask=tokens != 0)
            text[batch.text_present] = states.last_hidden_state[:, 0].to(text.dtype)
        return image, text


def pretrained_network(
    image_encoder_id: str, text_encoder_id: str, topics: TopicModel
) -> EncodedTopicNetwork:
    """The network over encoders of these names or folders, whose ids its config then keeps."""
    image = AutoModel.from_pretrained(image_encoder_id, use_safetensors=True)
    text = AutoModel.from_pretrained(text_encoder_id, use_safetensors=True)
    network = EncodedTopicNetwork(image, text, topics)
    topics.config.image_encoder_id = image_encoder_id
    topics.config.text_encoder_id = text_encoder_id
    return network
