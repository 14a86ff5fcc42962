"""LeRobot loads what `vla-train export-lerobot` writes, and its batches get the actions of our own evaluation."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot_stand_in import stand_in

from vla_datasets.keys import ACTION, STATE, TASK, image
from vla_datasets.lerobot.format import BOOKKEEPING, Feature
from vla_datasets.lerobot.png import encode_png
from vla_datasets.lerobot.reader import open_dataset
from vla_datasets.lerobot.writer import Episode, write_dataset
from vla_isa.errors import VlaError
from vla_models.errors import ObservationError, PolicyError
from vla_models.registry import find_policy
from vla_training.cli import main
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import network_runner
from vla_training.export_lerobot.observed import observed_features

KEYPOINTS, TOP = "observation.environment_state", image("top")
SMALL = {
    "prefix_width": 16,
    "prefix_hidden": 16,
    "action_width": 16,
    "action_hidden": 16,
    "depth": 1,
    "heads": 2,
    "head_width": 8,
    "horizon": 4,
    "execute": 3,
    "sampler_steps": 2,
    "channels": (4, 8),
    "tower_layers": 1,
    "tower_hidden": 16,
    "tower_heads": 2,
}
FEATURES = {
    STATE: Feature("float32", (2,)),
    KEYPOINTS: Feature("float32", (16,)),
    TOP: Feature("image", (96, 96, 3), ("height", "width", "channels")),
    ACTION: Feature("float32", (2,)),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of one frame."""
    root = tmp_path_factory.mktemp("data")
    frame = {
        key: [encode_png(np.zeros(f.shape, np.uint8)) if key == TOP else np.zeros(f.shape)]
        for key, f in FEATURES.items()
    }
    write_dataset(root, [[Episode(0, "push", frame)]], {**FEATURES, **BOOKKEEPING}, 10, "test", {"train": (0, 1)}, {})
    return root


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved policy with random weights."""
    import torch

    from vla_models.saved import save_policy

    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = find_policy("pi_zero_pixels")
    config = spec.configured(SMALL)
    folder = tmp_path_factory.mktemp("ours")
    save_policy(folder, spec.name, config, spec.make(config).state_dict())
    return folder


@pytest.fixture(scope="module")
def exported(ours: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, for LeRobot."""
    out = tmp_path_factory.mktemp("exported") / "for_lerobot"
    assert main(["export-lerobot", "--policy", str(ours), "--data", str(data), "-o", str(out)]) == 0
    return out


@pytest.fixture(scope="module", params=["stand-in", "installed"])
def load(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Any]]:
    """What loads a folder: a stand-in of LeRobot that is always there, or LeRobot itself."""
    plugin = "vla_training.export_lerobot.plugin"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "stand-in":
            for name, module in stand_in().items():
                patch.setitem(sys.modules, name, module)
        else:
            pytest.importorskip("lerobot", reason="LeRobot is not installed: its releases ask for an older PyTorch")
        importlib.import_module(plugin)
        yield importlib.import_module(f"{plugin}.modeling_vla_toolchain").VlaToolchainPolicy.from_pretrained
        if request.param == "stand-in":
            for name in [name for name in sys.modules if name.startswith(plugin)]:
                del sys.modules[name]


def observed(seed: int) -> dict[str, Any]:
    """What our evaluation would see."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)
    return {STATE: rng.uniform(0, 512, 2).astype(np.float32), TOP: pixels, TASK: "push"}


def batch_of(*seeds: int) -> dict[str, Any]:
    """The same as LeRobot's environments give it."""
    import torch

    seen = [observed(seed) for seed in seeds]
    pixels = torch.from_numpy(np.stack([each[TOP] for each in seen])).permute(0, 3, 1, 2).float() / 255
    states = torch.from_numpy(np.stack([each[STATE] for each in seen]))
    return {STATE: states, TOP: pixels, TASK: ["push"] * len(seen), "next.reward": torch.zeros(len(seen))}


def evaluated(ours: Path, episodes: tuple[int, ...], steps: list[tuple[int, ...]]) -> list[Any]:
    """The actions of our evaluation, each episode by itself."""
    runner = network_runner(RunnerSpec("float", ours))
    found = []
    for row, seed in enumerate(episodes):
        runner.reset(row, "push", seed)
        found.append([runner.act({row: observed(step[row])})[row] for step in steps])
    return [np.stack(actions) for actions in zip(*found, strict=True)]


def test_rows_act_as_our_evaluation(load: Callable[[Path], Any], exported: Path, ours: Path) -> None:
    """Over more than a chunk, and over a reset: bytes. Every row is an episode with a seed of its own."""
    policy = load(exported)
    steps = [(10 * row, 10 * row + 1) for row in range(5)]
    for episodes in ((0, 1), (2, 3)):
        policy.reset()
        wanted = evaluated(ours, episodes, steps)
        for step, actions in zip(steps, wanted, strict=True):
            assert policy.select_action(batch_of(*step)).numpy().tobytes() == actions.tobytes()
    assert not np.array_equal(evaluated(ours, (2,), [(0,)])[0], evaluated(ours, (0,), [(0,)])[0]), "seeds count"


def test_a_chunk_is_what_is_done_until_the_next_one(load: Callable[[Path], Any], exported: Path) -> None:
    one, other = load(exported), load(exported)
    for policy in (one, other):
        policy.reset()
    chunk = one.predict_action_chunk(batch_of(5))
    done = [other.select_action(batch_of(5 + step)) for step in range(3)]
    assert chunk.shape == (1, 3, 2) and [row.tolist() for row in chunk[0]] == [each[0].tolist() for each in done]


@pytest.mark.parametrize("towards", [0, 0.5, 1])
def test_all_bytes_come_back(towards: float) -> None:
    """Whichever way the division by 255 was rounded."""
    import torch

    from vla_training.export_lerobot.rows import _pixels

    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    divided = np.nextafter(pixels.transpose(0, 3, 1, 2) / np.float32(255), np.float32(towards))
    assert np.array_equal(_pixels("key", torch.from_numpy(divided)), pixels)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b.pop(TOP), f"no '{TOP}'"),
        (lambda b: b.update({TOP: b[TOP] * 255}), "from 0 to 1, not normalized"),
        (lambda b: b.update({TOP: b[TOP] * float("nan")}), "from 0 to 1"),
        (lambda b: b.update({TOP: b[TOP].bfloat16()}), "must be float32"),
        (lambda b: b.update({TOP: b[TOP].permute(0, 2, 3, 1)}), r"\(rows, 3, 96, 96\)"),
        (lambda b: b.update({STATE: b[STATE][0]}), r"\(rows, 2\)"),
        (lambda b: b.update({STATE: b[STATE] / 0}), "no finite numbers"),
        (lambda b: b.update({STATE: b[STATE].tolist()}), "is list; it must be a tensor"),
        (lambda b: b.update({STATE: b[STATE][:1]}), "not as many of each"),
        (lambda b: b.update({TASK: ["push"]}), "a text for each of 2 rows"),
        (lambda b: b.update(batch_of(1, 2, 3)), r"3 rows, and its episodes began with 2; call reset\(\)"),
    ],
)
def test_what_is_no_batch(load: Callable[[Path], Any], exported: Path, change: Any, says: str) -> None:
    policy = load(exported)
    policy.select_action(batch_of(1, 2))
    batch = batch_of(3, 4)
    change(batch)
    with pytest.raises(ObservationError, match=says):
        policy.select_action(batch)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"policy": "pi_zeros"}, "'pi_zeros'"),
        ({"options": {"depth": 10**12}}, "depth"),
        ({"options": {"depth": "1"}}, "depth"),
        ({"options": {"wings": 1}}, "wings"),
        ({"options": {}}, "weights are not those of config.json"),
        ({"seed": -1}, "'seed' is -1"),
        ({"output_features": {}}, "'output_features'"),
        ({"input_features": {TOP: {"type": "VISUAL", "shape": [1, 96, 96]}}}, f"'{TOP}'"),
        ({"input_features": {STATE: {"type": "STATE", "shape": []}}}, f"'{STATE}'"),
    ],
)
def test_configs_that_are_no_policy(
    load: Callable[[Path], Any], exported: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    """A folder from outside is untrusted."""
    table = json.loads((exported / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(table | change))
    (tmp_path / "model.safetensors").write_bytes((exported / "model.safetensors").read_bytes())
    with pytest.raises(VlaError, match=says):
        load(tmp_path)


def test_weights_that_are_damaged(load: Callable[[Path], Any], exported: Path, tmp_path: Path) -> None:
    """LeRobot itself would go on without what is missing."""
    from safetensors.torch import load_file, save_file

    weights = load_file(exported / "model.safetensors")
    weights.popitem()
    (tmp_path / "config.json").write_bytes((exported / "config.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(PolicyError, match="Missing key"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"PK\x03\x04 no weights")
    with pytest.raises(PolicyError, match="weights are not those"):
        load(tmp_path)


def test_another_world(load: Callable[[Path], Any], exported: Path) -> None:
    """LeRobot puts its environment's actions into the config, and plays anyway."""
    policy = load(exported)
    feature = type(policy.config.action_feature)
    policy.config.output_features = {ACTION: feature(policy.config.action_feature.type, (3,))}
    with pytest.raises(ObservationError, match="2 numbers; LeRobot wants"):
        policy.select_action(batch_of(1))


def test_it_is_not_trained_there(load: Callable[[Path], Any], exported: Path) -> None:
    policy = load(exported)
    for ask in (lambda: policy.forward({}), policy.get_optim_params, policy.config.get_optimizer_preset):
        with pytest.raises(PolicyError, match="vla-train train"):
            ask()


def test_only_what_is_read_is_asked_for(data: Path) -> None:
    """Training reads the keypoints too; the robot need not have them."""
    spec = find_policy("pi_zero_pixels")
    assert list(observed_features(spec.preprocessor(spec.configured(SMALL)), open_dataset(data))) == [STATE, TOP]


def test_what_is_not_exported(
    ours: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from vla_models.saved import save_policy

    def refused(policy: Path, data: Path, out: Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert main(["export-lerobot", "--policy", str(policy), "--data", str(data), "-o", str(out)]) == 1
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr().err

    spec = find_policy("pi_zero")
    config = spec.configured({k: v for k, v in SMALL.items() if not k.startswith("tower") and k != "channels"})
    (tmp_path / "goal").mkdir()
    torch.manual_seed(0)
    save_policy(tmp_path / "goal", spec.name, config, spec.make(config).state_dict())
    assert "no 'observation.goal'" in refused(tmp_path / "goal", data, tmp_path / "out")
    assert "exists" in refused(ours, data, data)
    assert "no saved policy" in refused(tmp_path / "nothing", data, tmp_path / "out")
    assert "meta/info.json" in refused(ours, tmp_path / "nothing", tmp_path / "out")
    monkeypatch.setattr("vla_training.export_lerobot.folder.OBSERVED", "observation.images.")
    assert f"sees '{STATE}'; LeRobot hands" in refused(ours, data, tmp_path / "out")
