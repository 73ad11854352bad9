"""The networks of deepctr-torch, imported when one is built and without a call to the internet.

Importing `deepctr_torch` starts a thread that asks the package index for a newer version, through
`requests`, which the library forgets to require. The call is the last line of the package's
`__init__`, so importing a submodule alone runs it too. `import_deepctr` therefore puts an empty
`check_version` where the package looks for its own and takes it away again: no installed file, no
thread class and no socket is patched.
"""

import importlib
import sys
from collections.abc import Mapping
from threading import Lock
from types import ModuleType
from typing import Final, Literal

import torch
from torch import Tensor, nn

NetworkName = Literal["wdl", "deepfm", "difm", "dcn-m"]

# DCN-M is the first title of DCN V2 (Wang et al., arXiv 2008.13535); its low-rank mixture, which
# ContentCTR compares with, is the library's DCNMix.
NETWORK_CLASSES: Final[Mapping[NetworkName, str]] = {
    "wdl": "WDL",
    "deepfm": "DeepFM",
    "difm": "DIFM",
    "dcn-m": "DCNMix",
}

# The library reads ids out of a float32 matrix, which holds whole numbers up to here.
MOST_IDS: Final = 2**24
# DIFM's attention heads share the width of an embedding.
_DIFM_HEADS: Final = 4

_import_lock = Lock()


def import_deepctr() -> ModuleType:
    """The module `deepctr_torch`, imported without its question to the package index.

    Raises:
        ImportError: it is not installed.
    """
    with _import_lock:
        if "deepctr_torch" in sys.modules:
            return sys.modules["deepctr_torch"]
        silent = ModuleType("deepctr_torch.utils")
        silent.check_version = _check_nothing  # type: ignore[attr-defined]
        sys.modules.setdefault(silent.__name__, silent)
        try:
            return importlib.import_module("deepctr_torch")
        except ModuleNotFoundError as error:
            if error.name != "deepctr_torch":
                raise
            raise ImportError(
                "deepctr_torch: found no such package, expected the extra of the ID baselines:"
                " pip install 'limelight[baselines]'"
            ) from error
        finally:
            if sys.modules.get(silent.__name__) is silent:
                del sys.modules[silent.__name__]


def build_network(
    name: NetworkName,
    vocabulary_sizes: Mapping[str, int],
    *,
    embedding_width: int,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """A network of ids (n, C) float32 -> ctr (n, 1) in (0, 1), of the library's own sizes.

    Every column is an id of its own, given to the linear and to the deep part, as in the library's
    examples. Torch's global random state is left as it was found.

    Args:
        name: which of the four.
        vocabulary_sizes: how many ids each of the C columns knows, in the order of the columns.
        embedding_width: width of an id's embedding; a multiple of 4 for "difm".
        seed: of the initial weights.
        device: where the weights lie.

    Raises:
        ValueError: a name, width or vocabulary that cannot be.
        ImportError: the library is not installed.

    Source: github.com/shenweichen/DeepCTR-Torch 0.3.0, examples/run_classification_criteo.py.
    """
    _check_network(name, vocabulary_sizes, embedding_width)
    library = import_deepctr()
    columns = [
        library.inputs.SparseFeat(column, size, embedding_dim=embedding_width)
        for column, size in vocabulary_sizes.items()
    ]
    # The constructor seeds torch's global generators.
    cuda_devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda_devices):
        network: nn.Module = getattr(library.models, NETWORK_CLASSES[name])(
            columns, columns, seed=seed, device=str(device)
        )
    return network


def weight_penalty(network: nn.Module) -> Tensor:
    """(1,) what the library adds to the summed loss of a batch: 1e-5 of the squared weights of
    embeddings, of the linear part and of DCN-M's cross layers.
    """
    penalty: Tensor = network.get_regularization_loss()  # type: ignore[operator]
    return penalty


def _check_nothing(version: str) -> None:
    """Stands where the library's question to the package index stood."""


def _check_network(
    name: NetworkName, vocabulary_sizes: Mapping[str, int], embedding_width: int
) -> None:
    if name not in NETWORK_CLASSES:
        raise ValueError(f"name: found {name!r}, expected one of {', '.join(NETWORK_CLASSES)}")
    if embedding_width < 1 or (name == "difm" and embedding_width % _DIFM_HEADS):
        expected = f"a multiple of {_DIFM_HEADS}" if name == "difm" else "1 or more"
        raise ValueError(f"{name}: embedding_width: found {embedding_width}, expected {expected}")
    if not vocabulary_sizes:
        raise ValueError(f"{name}: vocabulary_sizes: found no columns, expected at least one")
    for column, size in vocabulary_sizes.items():
        if not 1 <= size <= MOST_IDS:
            raise ValueError(
                f"{name}: {column}: found a vocabulary of {size}, expected 1 to {MOST_IDS}"
            )
