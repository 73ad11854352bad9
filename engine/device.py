"""Where the networks run."""

import torch


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the GPU if there is one.

    Raises:
        ValueError: torch knows no such device, or this machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device: found {name!r}, expected auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: found {name!r}, expected auto or cpu: torch sees no GPU here")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The numbers that networks calculate with; "auto" is bfloat16 on a GPU, float32 elsewhere.

    Raises:
        ValueError: another name than auto, float32 or bfloat16.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in ("float32", "bfloat16"):
        raise ValueError(f"dtype: found {name!r}, expected auto, float32 or bfloat16")
    dtype: torch.dtype = getattr(torch, name)
    return dtype
