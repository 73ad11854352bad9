"""Small files in place of a network's: a registry never looks into them."""

from pathlib import Path


def network_files(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(b'{"model_type": "contentctr"}')
    (folder / "model.safetensors").write_bytes(weights * 1000)
    return folder
