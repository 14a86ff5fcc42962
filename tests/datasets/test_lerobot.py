"""LeRobot's own loader reads our sets: the same frames, and the statistics that its own code computes.

LeRobot is heavy and pins other versions of much that is used here, so it is in no extra; without it this is skipped.
In an environment of its own: lerobot 0.4.4 without its dependencies, datasets, torchvision, and what its import needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shaped_set import FEATURES, FPS, IMAGE, LENGTHS, write_shaped_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lerobot() -> Any:
    torch = pytest.importorskip("torch", reason="LeRobot is not installed")
    for name in ("nms", "qnms"):  # operators that a torchvision for CUDA expects, where torch is for the CPU
        if not hasattr(torch.ops.torchvision, name):
            form = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", form)
    return pytest.importorskip("lerobot.datasets.lerobot_dataset", reason="LeRobot is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    root = tmp_path_factory.mktemp("shaped")
    return root, write_shaped_set(root)


def test_its_loader_gives_the_frames(lerobot: Any, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root, arrays = made
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    dataset = lerobot.LeRobotDataset("test/shaped", root=root)
    assert (dataset.num_frames, dataset.num_episodes, dataset.fps) == (sum(LENGTHS), len(LENGTHS), FPS)
    for number in range(sum(LENGTHS)):
        frame = dataset[number]
        assert int(frame["index"]) == number
        for name, array in arrays.items():
            found = frame[name].numpy()
            if name == IMAGE:
                found = np.moveaxis(np.round(found * 255), 0, -1)
            assert np.array_equal(found.reshape(array.shape[1:]), array[number]), name
    assert dataset[0]["task"] == "task 0" and dataset[LENGTHS[0]]["task"] == "task 1"


def test_it_computes_the_same_statistics(lerobot: Any, made: Any) -> None:
    from lerobot.datasets.compute_stats import get_feature_stats

    root, arrays = made
    stored = lerobot.LeRobotDataset("test/shaped", root=root).meta.stats
    for name in (n for n in arrays if n != IMAGE):
        values = arrays[name].astype(np.float64).reshape(sum(LENGTHS), -1)  # its code takes vectors
        wanted = get_feature_stats(values, axis=0, keepdims=False)
        for key in ("min", "max", "mean", "std"):
            assert np.shape(stored[name][key]) == FEATURES[name].shape, (name, key)
            assert np.allclose(np.ravel(stored[name][key]), wanted[key]), (name, key)
        assert np.array_equal(stored[name]["count"], wanted["count"])
