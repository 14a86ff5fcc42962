"""What RDT is told of data sets, against sums written out here and the standard library's statistics."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from vla_datasets.cli import main
from vla_datasets.errors import DatasetError
from vla_datasets.keys import ACTION, STATE
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_datasets.unified.episodes import first_step
from vla_datasets.unified.robots import find_robot
from vla_datasets.unified.statistics import describe, write_description
from vla_datasets.worlds.registry import find_world

NAMES = tuple(find_robot("aloha").names)


def states(seed: int, frames: int, still: int) -> np.ndarray:
    """`still` frames that are the first one within 0.01, then walks; the left gripper is 0 in half of the frames."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(frames, 14)).cumsum(0) * 0.1
    found[: still + 1] = found[0] + random.uniform(-0.009, 0.009, (still + 1, 14)) * (np.arange(still + 1) > 0)[:, None]
    found[still + 1 :] += 1
    found[:, 6] = np.where(np.arange(frames) % 2 == 1, random.uniform(0.5, 1, frames), 0)
    found[: still + 1, 6] = 0
    return found.astype(np.float32)


def write(root: Path, episodes: list[np.ndarray], names: tuple[str, ...] | None = NAMES, width: int = 14) -> Path:
    vector = Feature("float32", (width,), names)
    features = {STATE: vector, ACTION: vector, **BOOKKEEPING}
    made = [Episode(n, "task", {STATE: list(v), ACTION: list(v)}) for n, v in enumerate(episodes)]
    splits = {"train": (0, len(made) - 1), "val": (len(made) - 1, len(made))}
    write_dataset(root, [made], features, 25, "aloha", splits, {})
    return root


@pytest.fixture
def every() -> list[np.ndarray]:
    """Two that are counted, a short one, and one that stands still."""
    return [states(0, 140, 5), states(1, 127, 0), states(2, 128, 0), np.ones((200, 14), np.float32)]


def test_four_files(tmp_path: Path, every: list[np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    root, other = write(tmp_path / "cubes", every), write(tmp_path / "more", every[::-1])
    out = tmp_path / "out"
    assert main(["statistics", str(root), str(other), "--out", str(out), "--weights", "100", "50"]) == 0
    said = capsys.readouterr().out
    assert f"{root}: 'cubes', {140 - 5 + 128} frames, 25 a second" in said
    assert "episode 1 is left out: 127 frames, fewer than 128" in said
    assert "episode 3 is left out: it does not move" in said
    found = {path.name: json.loads(path.read_text()) for path in out.iterdir()}
    assert found["dataset_control_freq.json"] == {"cubes": 25, "more": 25}
    assert found["finetune_datasets.json"] == ["cubes", "more"]
    assert found["finetune_sample_weights.json"] == {"cubes": 100, "more": 50}
    assert found.keys() == {
        "dataset_stat.json", "dataset_control_freq.json", "finetune_datasets.json", "finetune_sample_weights.json"
    }  # fmt: skip
    one = found["dataset_stat.json"]["cubes"]
    assert one.pop("dataset_name") == "cubes"
    assert one.keys() == {"state_mean", "state_std", "state_min", "state_max"}
    counted = np.concatenate([every[0][5:], every[2]]).astype(np.float64)
    places = [*range(50, 56), 60, *range(6), 10]
    for column, place in enumerate(places):
        values = counted[:, column].tolist()
        mean, present = statistics.fmean(values), sum(abs(value) > 1e-8 for value in values)
        assert math.isclose(one["state_mean"][place], mean, abs_tol=1e-9)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / present)
        assert math.isclose(one["state_std"][place], spread, abs_tol=1e-9)
        if column != 6:  # where every value counts it is the deviation of all
            assert math.isclose(one["state_std"][place], statistics.pstdev(values), abs_tol=1e-9)
        assert one["state_min"][place] == min(values) and one["state_max"][place] == max(values)
    for values in one.values():
        assert len(values) == 128 and not any(values[place] for place in set(range(128)) - set(places))
    for key, values in found["dataset_stat.json"]["more"].items():  # the order of episodes is none of its business
        assert key == "dataset_name" or np.allclose(values, one[key], atol=1e-12)


def test_grippers_as_a_robot_counts_them(tmp_path: Path, every: list[np.ndarray]) -> None:
    root = write(tmp_path / "raw", every, names=None)
    with pytest.raises(DatasetError, match="does not name its 14 values; say whose it is, by --robot"):
        describe(root)
    found = describe(root, "agilex").states
    own = describe(root, "aloha").states
    assert np.allclose(found["state_mean"][10], own["state_mean"][10] / 4.7888)
    assert np.allclose(found["state_max"][60], own["state_max"][60] / 4.7908) and found["state_mean"][0]
    assert found["state_mean"][:10] == own["state_mean"][:10]


def test_frames_to_learn_from(tmp_path: Path, every: list[np.ndarray]) -> None:
    root = write(tmp_path / "cubes", every)
    shares = find_world("aloha").frame_shares(root, "train", "moving")
    assert shares.tolist() == [0.0] * 5 + [1.0] * 135 + [0.0] * 127 + [1.0] * 128
    with pytest.raises(DatasetError, match="no episode of 'val' moves and is long enough"):
        find_world("aloha").frame_shares(root, "val", "moving")


def test_the_first_movement() -> None:
    """The frame before the first one that is more than 0.01 from the start, in any value."""
    still = np.zeros((10, 3))
    assert first_step(still) is None
    still[4, 1] = 0.01
    assert first_step(still) is None
    still[7, 2] = -0.011
    assert first_step(still) == 6
    still[1, 0] = 5
    assert first_step(still) == 0


def test_what_is_refused(tmp_path: Path, every: list[np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    root = write(tmp_path / "cubes", every)
    other = write(tmp_path / "a" / "cubes", every)
    found = [describe(root), describe(other)]
    with pytest.raises(DatasetError, match=r"two data sets have one name \(cubes, cubes\)"):
        write_description(found, [1, 1], tmp_path / "out")
    for weight in (0, -1, float("nan"), 1e7):
        with pytest.raises(DatasetError, match=r"the weight of 'cubes' is .*; it must be above 0 and at most"):
            write_description(found[:1], [weight], tmp_path / "out")
    (tmp_path / "rdt").mkdir()
    (tmp_path / "rdt" / "finetune_datasets.json").write_text('["others"]')
    assert main(["statistics", str(root), "--out", str(tmp_path / "rdt")]) == 1
    assert "rdt/finetune_datasets.json' is there already, and may tell of other sets" in capsys.readouterr().err
    assert [path.read_text() for path in (tmp_path / "rdt").iterdir()] == ['["others"]']
    assert main(["statistics", str(root), "--out", str(tmp_path / "out"), "--weights", "1", "2"]) == 2
    assert "--weights has 2 values; there are 1 data sets" in capsys.readouterr().err
    with pytest.raises(
        DatasetError, match=r"names its values itself, so its grippers are from 0 to 1; .* Leave --robot"
    ):
        describe(root, "agilex")
    swapped = write(tmp_path / "swapped", every, names=(*NAMES[7:], *NAMES[:7]))
    assert describe(swapped).states["state_mean"][0] == describe(root).states["state_mean"][50]
    with pytest.raises(
        DatasetError, match=r"swapped: .* names 'right_arm_joint_0_pos' at place 0; .* Leave --robot out"
    ):
        describe(swapped, "aloha")
    short = write(tmp_path / "short", [every[1], every[1]])
    with pytest.raises(DatasetError, match=r"no episode is counted \(episode 0: 127 frames, fewer than 128\)"):
        describe(short)
    strange = write(tmp_path / "strange", every, names=tuple(f"joint_{n}" for n in range(14)))
    with pytest.raises(DatasetError, match="no place 'joint_0'"):
        describe(strange)
    narrow = write(tmp_path / "narrow", [v[:, :7] for v in every], names=NAMES[:7], width=7)
    assert describe(narrow).states["state_max"][50] and not describe(narrow).states["state_max"][0]
    with pytest.raises(DatasetError, match="names 7 values; robot 'agilex' has 14"):
        describe(narrow, "agilex")
    assert not (tmp_path / "out").exists()
