"""The encoders that data without features is given features by, loaded when first needed."""

from functools import cached_property

from limelight.engine.device import choose_device, choose_dtype
from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.scorer import REMEMBERED_TEXTS
from limelight.engine.settings import EngineSettings
from limelight.engine.text_encoder import TextEncoder


class DataEncoders:
    """Those that the engine would serve with."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._device = choose_device(settings.device)

    @cached_property
    def frame(self) -> FrameEncoder:
        return load_frame_encoder(
            self.settings.frame_encoder,
            device=self._device,
            dtype=choose_dtype(self.settings.dtype, self._device),
            # A direct pass hands over one picture at a time, each of which would cost a batch. Only
            # the last bits of a feature depend on the batch's size.
            max_batch=1,
        )

    @cached_property
    def text(self) -> TextEncoder:
        encoder = load_text_encoder(
            self.settings.text_encoder,
            device=self._device,
            dtype=choose_dtype(self.settings.dtype, self._device),
            max_tokens=self.settings.max_text_tokens,
            max_batch=self.settings.text_batch,
        )
        encoder.remember(REMEMBERED_TEXTS)
        return encoder
