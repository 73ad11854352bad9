"""What a network says of many clips, and how well."""

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.models.ad_ctr.figures import (
    AdFigures,
    class_figures,
    classes_of,
    regression_figures,
)
from limelight.models.ad_ctr.model import AdBatch, AdCTR

_AT_ONCE = 512


@torch.inference_mode()
def predict(model: AdCTR, clips: AdBatch) -> NDArray[np.float64]:
    """(n,) rates in [0, 1], or (n, 5) the classes' probabilities."""
    was_training = model.training
    model.eval()
    found = []
    for places in torch.split(torch.arange(len(clips.frames)), _AT_ONCE):
        logits = model(clips.rows(places).to(model.device)).double().cpu()
        found.append(logits.softmax(1) if logits.shape[1] > 1 else logits[:, 0].sigmoid())
    model.train(was_training)
    predicted: NDArray[np.float64] = torch.cat(found).numpy()
    return predicted


def judge(model: AdCTR, clips: AdBatch) -> AdFigures:
    """The figures of a model on clips whose rates are known."""
    rates, predicted = clips.rates.numpy(), predict(model, clips)
    edges = model.config.class_edges
    if not edges:
        return regression_figures(predicted, rates)
    return class_figures(predicted.argmax(1), classes_of(rates, edges))
