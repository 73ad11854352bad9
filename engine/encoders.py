"""Encoders by name: the bundled tiny ones, or any that transformers' Auto classes can load."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, ImageProcessingMixin, PreTrainedModel

from limelight.engine.frame_encoder import FrameEncoder, pooled_features
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.tiny_encoders import TINY, tiny_frame_encoder, tiny_text_encoder
from limelight.engine.weights import weights_revision

_CPU = torch.device("cpu")


def load_frame_encoder(
    name: str,
    *,
    device: torch.device = _CPU,
    dtype: torch.dtype = torch.float32,
    max_batch: int = 32,
    compiled: bool = False,
) -> FrameEncoder:
    """The frame encoder of that name: "tiny", a folder, or a name on the Hugging Face hub.

    Weights are read from safetensors only, and no code that comes with them is run. Pictures are
    stretched to the size that the image processor resizes to, or crops to where it crops. The
    network computes in `dtype`; `compiled` leaves it to torch.compile, which takes a minute or so
    at the first picture. A network's pooled output is the feature; where its pooler comes without
    weights, as that of a ViT saved from a classifier does, it is the mean over its last tokens.

    Raises:
        OSError: there is no such model, or it comes without safetensors.
        ValueError: it does not state its picture size, mean and spread, or lacks weights.
    """
    if name == TINY:
        return tiny_frame_encoder(
            device=device, dtype=dtype, max_batch=max_batch, compiled=compiled
        )
    model = _load_vision_model(name)
    # Only the numbers are wanted: AutoImageProcessor itself would ask for torchvision.
    processor, _ = ImageProcessingMixin.get_image_processor_dict(name)
    if not {"image_mean", "image_std"} <= processor.keys():
        raise ValueError(f"{name}: found {sorted(processor)}, expected image_mean and image_std")
    image_size = _image_size(name, processor)
    feature_size = _feature_size(model, image_size)
    return FrameEncoder(
        model.to(device, dtype),
        encoder_id=_encoder_id(name),
        revision=_revision(name, model),
        feature_size=feature_size,
        image_size=image_size,
        mean=processor["image_mean"],
        std=processor["image_std"],
        max_batch=max_batch,
        compiled=compiled,
    )


def load_text_encoder(
    name: str,
    *,
    device: torch.device = _CPU,
    dtype: torch.dtype = torch.float32,
    max_tokens: int = 128,
    max_batch: int = 64,
    compiled: bool = False,
) -> TextEncoder:
    """The text encoder of that name, as `load_frame_encoder`."""
    if name == TINY:
        return tiny_text_encoder(
            device=device,
            dtype=dtype,
            max_tokens=max_tokens,
            max_batch=max_batch,
            compiled=compiled,
        )
    model = _load_model(name)
    return TextEncoder(
        model.to(device, dtype),
        AutoTokenizer.from_pretrained(name, trust_remote_code=False),
        encoder_id=_encoder_id(name),
        revision=_revision(name, model),
        max_tokens=max_tokens,
        max_batch=max_batch,
        compiled=compiled,
    )


def _load_model(name: str) -> PreTrainedModel:
    return AutoModel.from_pretrained(
        name, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )


def _load_vision_model(name: str) -> PreTrainedModel:
    model, loading = AutoModel.from_pretrained(
        name,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        output_loading_info=True,
    )
    # A batch normalisation's counter is no weight.
    missing = sorted(
        key for key in loading["missing_keys"] if not key.endswith("num_batches_tracked")
    )
    if missing and all(key.startswith("pooler.") for key in missing):
        # It would be another random layer at each loading.
        model.pooler = None
        missing = []
    if missing:
        raise ValueError(f"{name}: found no weights for {missing[0]}, expected a whole network")
    return model


@torch.inference_mode()
def _feature_size(model: PreTrainedModel, image_size: tuple[int, int]) -> int:
    """By one blank picture: configs name it in several ways, a MobileNetV2's in none."""
    output = model.eval()(pixel_values=torch.zeros(1, 3, *image_size))
    return pooled_features(output).shape[1]


def _image_size(name: str, processor: dict[str, Any]) -> tuple[int, int]:
    size = processor.get("crop_size" if processor.get("do_center_crop") else "size")
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and "height" in size and "width" in size:
        return size["height"], size["width"]
    if isinstance(size, dict) and "shortest_edge" in size:
        return size["shortest_edge"], size["shortest_edge"]
    raise ValueError(f"{name}: found picture size {size}, expected height and width")


def _encoder_id(name: str) -> str:
    # A folder goes by its own name: where it lies differs between machines that share its features.
    return Path(name).resolve().name if Path(name).is_dir() else name


def _revision(name: str, model: PreTrainedModel) -> str:
    """The hub's commit, or for a folder the start of the hash over its weights."""
    if not Path(name).is_dir():
        return model.config._commit_hash or "unknown"
    return weights_revision(sorted(Path(name).glob("*.safetensors")))
