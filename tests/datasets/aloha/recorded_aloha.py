"""Episodes in ALOHA's layout, written by h5py as the recorders of ACT, ALOHA and RDT write them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CAMERAS = ("cam_high", "cam_left_wrist", "cam_right_wrist")
SENTENCES = {
    "instruction": "hand over",
    "simplified_instruction": ["pass it", "give it"],
    "expanded_instruction": ["with the right arm, hand it over to the left one"],
}


def truth(seed: int, frames: int, height: int = 24, width: int = 32) -> dict[str, Any]:
    """Places, actions and smooth pictures of an episode; grippers in [0, 1]."""
    random = np.random.default_rng(seed)
    qpos = random.normal(size=(frames, 14)).astype(np.float32)
    qpos[:, [6, 13]] = random.uniform(0, 1, (frames, 2))
    ramps = np.linspace(0, 200, width)[None, :] * random.uniform(0.2, 1, (frames, height, 1))
    pictures = {
        name: np.stack([ramps, 200 - ramps, np.full_like(ramps, 30 * number)], -1).astype(np.uint8)
        for number, name in enumerate(CAMERAS)
    }
    return {"qpos": qpos, "action": qpos + 0.25, "images": pictures}


def jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=90)
    return stream.getvalue()


def write_episode(path: Path, values: dict[str, Any], stored: str = "raw") -> None:
    """Pictures `raw`, as `rows` of bytes with zeros behind (ALOHA), or as `strings` of a fixed length (RDT)."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["sim"] = stored == "raw"
        if stored != "strings":
            file.attrs["compress"] = stored == "rows"
        file["observations/qpos"], file["action"] = values["qpos"], values["action"]
        file["observations/qvel"] = np.zeros_like(values["qpos"])
        for name, pictures in values["images"].items():
            packed = [jpeg(picture) for picture in pictures]
            longest = max(len(data) for data in packed)
            if stored == "raw":
                data: Any = pictures
            elif stored == "rows":
                data = np.stack([np.frombuffer(data.ljust(longest, b"\0"), np.uint8) for data in packed])
            else:
                data = np.array(packed, f"S{longest}")
            file.create_dataset(f"observations/images/{name}", data=data)


def write_recording(folder: Path, lengths: Sequence[int] = (6, 4, 5), stored: str = "raw") -> list[dict[str, Any]]:
    """A folder of one task with RDT's sentences; what is in it."""
    every = [truth(number, length) for number, length in enumerate(lengths)]
    for number, values in enumerate(every):
        write_episode(folder / f"episode_{number}.hdf5", values, stored)
    (folder / "expanded_instruction_gpt-4-turbo.json").write_text(json.dumps(SENTENCES))
    return every
