"""Devices are chosen by name, and one that is missing is named."""

import pytest
import torch

from limelight.engine.device import choose_device


def test_auto_is_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"


def test_a_device_that_is_missing_or_unknown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="found 'cuda', expected auto or cpu"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="found 'abacus', expected auto, cpu or cuda"):
        choose_device("abacus")
