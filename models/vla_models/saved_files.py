"""Where a saved policy lies, and what its files are called.

Not here: what is in them (`saved.py`).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "saved_folder"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


def saved_folder(folder: Path) -> Path:
    """Where the saved policy of a folder is: the newest one of a training's run, that of a checkpoint, or it itself."""
    for inside in (folder / "checkpoints" / "last" / "pretrained_model", folder / "pretrained_model"):
        if (inside / CONFIG_FILE).is_file():
            return inside
    return folder
