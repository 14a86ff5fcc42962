"""The driving policies: published sizes, inputs, masks that training, evaluation and the exported model share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from vla_datasets.keys import ACTION, STATE, is_pad
from vla_models.driving.names import (
    BRANCH_OF_COMMAND,
    BRANCHES,
    CAMERA,
    COMMAND,
    COMMAND_KEY,
    CONCEPT_KEYS,
    CONCEPTS,
    CONTROL,
    MEASURES,
    MIRRORED,
    WORLD_SIZE,
)
from vla_models.driving_tiles.config import TILE, DrivingTilesConfig
from vla_models.driving_tiles.preprocess import DrivingTilesPreprocessor
from vla_models.driving_vgg.config import DrivingVggConfig
from vla_models.driving_vgg.preprocess import DrivingVggPreprocessor
from vla_models.errors import ObservationError, PolicyError

Observation = dict[str, Any]


def observation(value: int = 100, command: int = 0, speed: float = 4.0) -> Observation:
    return {
        CAMERA: np.full((WORLD_SIZE, WORLD_SIZE, 3), value, np.uint8),
        STATE: np.array([speed], np.float32),
        COMMAND_KEY: np.array([command]),
    }


def outputs(*control: float) -> dict[str, np.ndarray]:
    return {CONTROL: np.array([control], np.float32), CONCEPTS: np.zeros((1, 5), np.float32)}


def test_names_and_commands_are_those_of_the_world() -> None:
    schema = pytest.importorskip("vla_datasets.worlds.driving.schema")
    assert (CAMERA, COMMAND_KEY, WORLD_SIZE) == (schema.IMAGE, schema.COMMAND, schema.SIZE)
    assert tuple(schema.concept(name) for name in schema.CONCEPTS) == CONCEPT_KEYS
    assert [BRANCHES[n].replace("_", " ") for n in BRANCH_OF_COMMAND] == [
        {"go straight": "follow lane"}.get(name, "stop" if name.split()[0] in ("stop", "brake") else name)
        for name in schema.COMMANDS
    ]
    for branch, other in enumerate(MIRRORED):
        swapped = BRANCHES[branch].replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
        assert BRANCHES[other] == swapped


@pytest.mark.parametrize(
    ("policy", "config", "conv_macs", "parameters"),
    [  # the tables of the earlier system; its networks have no concept heads
        ("DrivingVgg", DrivingVggConfig(measure_features=0, bias=False), 80.22e6, 2.384e6),
        ("DrivingTiles", DrivingTilesConfig(), 368.05e6, 12.80e6),
        (
            "DrivingTiles",
            DrivingTilesConfig((32, 64, 128, 256, 512, 1024), (2, 2, 2, 2, 2, 1), pooled=True),
            618.14e6,
            8.07e6,
        ),
        (
            "DrivingTiles",
            DrivingTilesConfig((16, 32, 64, 128, 128), (2,) * 5, 32, False, 64, 64, (32, 32)),
            1.14e6,
            0.26e6 + 5 * 3202,  # published with one branch
        ),
    ],
)
def test_sizes_are_the_published_ones(policy: str, config: Any, conv_macs: float, parameters: float) -> None:
    import driving_policies

    made = getattr(driving_policies, policy)(config)
    assert sum(made.trunk.macs) == pytest.approx(conv_macs, rel=0.004)
    heads = sum(p.numel() for p in made.concepts.parameters())
    assert sum(p.numel() for p in made.parameters()) - heads == pytest.approx(parameters, rel=0.02)


@pytest.mark.parametrize(
    ("policy", "config"), [("DrivingVgg", DrivingVggConfig()), ("DrivingTiles", DrivingTilesConfig())]
)
def test_sizes_are_what_the_readme_says(policy: str, config: Any) -> None:
    import driving_policies

    made = getattr(driving_policies, policy)(config)
    readme = Path(sys.modules[type(made).__module__].__file__ or "").with_name("README.md").read_text()
    assert f"{sum(p.numel() for p in made.parameters()):,} parameters" in readme


def test_the_branch_of_the_command_drives() -> None:
    """Every other branch may say what it will."""
    from driving_policies import gated, torch

    policy = gated()
    inputs = policy.example_inputs(6, 3)
    inputs[COMMAND] = torch.eye(6)
    before = policy.graphs()[0].module(*inputs.values())[0]
    with torch.no_grad():
        for branch in (*policy.branches[:2], *policy.branches[3:]):
            branch[-1].bias.add_(1.0)
        after = policy.graphs()[0].module(*inputs.values())[0]
    assert torch.equal(before[2], after[2])
    assert ((before - after)[[0, 1, 3, 4, 5]].abs() > 1e-4).all()


def test_the_mask_of_evaluation_is_the_one_that_is_exported(tmp_path: Path) -> None:
    """Training forward, exported constants and metadata have the same masks, and the same controls follow."""
    from driving_policies import SMALL, TASK_MASKS, gated, torch

    from vla_models.export_onnx import export_onnx

    policy = gated()
    path = tmp_path / "m.onnx"
    export_onnx(policy, path)
    model = onnx.load(path)
    said = json.loads({p.key: p.value for p in model.metadata_props}[TASK_MASKS])
    convs = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert said["block"] == TILE and list(said["tasks"]) == list(BRANCHES) and len(set(convs)) == 3 + 2
    tables = {
        array.shape[1]: array
        for array in map(onnx.numpy_helper.to_array, model.graph.initializer)
        if array.shape in ((6, 32), (6, 48), (6, 64))
    }
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for number, task in enumerate(BRANCHES):
        command = torch.eye(6)[[number]]
        for mode in (policy.train(), policy.eval()):
            used = [(mask > 0.5).flatten().nonzero().flatten().tolist() for mask in mode.gates(command)]
            assert [said["tasks"][task][conv] for conv in convs[:3]] == used
        assert said["tasks"][task][convs[3]] == [number] and convs[4] not in said["tasks"][task]
        for channels, live in zip(SMALL["channels"], used, strict=True):
            wanted = np.zeros(channels, np.float32).reshape(-1, TILE)
            wanted[live] = 1
            assert np.array_equal(tables[channels][number], wanted.flatten())
        inputs = policy.example_inputs(1, number) | {COMMAND: command}
        with torch.no_grad():
            trained = policy.train()(*inputs.values())
        found = session.run([CONTROL, CONCEPTS], {name: value.numpy() for name, value in inputs.items()})
        assert np.allclose(found[0], trained.control.numpy(), atol=1e-5)
        assert np.allclose(found[1], trained.concepts.numpy(), atol=1e-5)


def test_a_gate_gets_a_gradient_while_it_is_off_and_the_first_tile_is_always_on() -> None:
    from driving_policies import gated, torch

    policy = gated().train()
    inputs = policy.example_inputs(6) | {COMMAND: torch.eye(6)}
    policy(*inputs.values()).control.sum().backward()
    assert all(bool((table[:, 0] == 1).all()) for table in policy.gates.table())
    off = policy.gates(torch.eye(6))[2] < 0.5
    gradient = policy.gates.logits.bias.grad[-off.shape[1] + 1 :]
    assert off.any() and bool((gradient[off[:, 1:].any(dim=0)] != 0).all())


def test_the_share_counts_what_is_left_of_both_sides() -> None:
    from driving_policies import live_share, torch

    masks = [torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[1.0]])]
    assert live_share(masks, (100, 200, 300)).tolist() == pytest.approx(
        [(100 * 0.5 + 200 * 0.5 * 0.5 + 300 * 0.5) / 600]
    )


@pytest.mark.parametrize(
    ("columns", "made", "past"), [(3, "DrivingVgg", True), (2, "DrivingTiles", True), (2, "DrivingTiles", False)]
)
def test_training_and_the_robot_see_the_same(columns: int, made: str, past: bool) -> None:
    """Frames of one episode, through the windows of training and through the preprocessor of an episode."""
    import driving_policies
    from driving_policies import SMALL, torch

    from vla_datasets.lerobot.windows import Windows
    from vla_datasets.shrink import shrink

    config = DrivingVggConfig(image_size=32) if columns == 3 else DrivingTilesConfig(**SMALL, past=past)
    policy = getattr(driving_policies, made)(config)
    rng, count = np.random.default_rng(0), 6
    images = rng.integers(0, 256, (count, WORLD_SIZE, WORLD_SIZE, 3), np.uint8)
    controls = np.array([[0.25, -0.5], [-0.5, 0.75], [0.0, 0.5], [1.0, -1.0], [0.5, 0.0], [0.125, 1.0]], np.float32)
    actions = np.stack([controls[:, 0], controls[:, 1].clip(0), (-controls[:, 1]).clip(0)], axis=1)
    speeds, commands = rng.uniform(0, 9, (count, 1)).astype(np.float32), np.array([[0], [2], [8], [4], [1], [6]])
    columns_of = {
        CAMERA: shrink(images, 32),
        ACTION: actions,
        STATE: speeds,
        COMMAND_KEY: commands,
        **{key: np.ones((count, 1), np.bool_) for key in CONCEPT_KEYS},
    }
    windows = Windows(columns_of, ["drive"] * count, [4, 2], policy.windows)  # two episodes
    found = windows.batch(np.arange(count))
    batch = policy.prepare({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in found.items()})
    robot = (DrivingVggPreprocessor if columns == 3 else DrivingTilesPreprocessor)(config)
    for step in range(count):
        if step in (0, 4):
            robot.reset("drive")
        seen = {CAMERA: images[step], STATE: speeds[step], COMMAND_KEY: commands[step]}
        inputs = robot.inputs(seen)
        assert list(inputs) == list(batch.inputs)
        for name, value in inputs.items():
            assert np.allclose(value[0], batch.inputs[name][step].numpy(), atol=1e-7), (name, step)
        given = actions[step] if columns == 3 else controls[step]
        assert np.allclose(batch.target[step, :columns].numpy(), given)
        assert np.allclose(robot.actions(outputs(*given))[0], actions[step])
        assert past or not inputs[MEASURES][0, :2].any()


def test_the_action_before_is_never_of_another_episode_or_of_an_older_frame() -> None:
    from driving_policies import SMALL, DrivingTiles, gated, torch

    samples = {
        CAMERA: torch.zeros(2, 1, 8, 8, 3, dtype=torch.uint8),
        ACTION: torch.tensor([[[0.3, 0.5, 0.0], [0.1, 0.0, 0.0]], [[0.3, 0.5, 0.2], [0.1, 0.0, 0.0]]]),
        is_pad(ACTION): torch.tensor([[True, False], [False, False]]),
        STATE: torch.ones(2, 1, 1),
        COMMAND_KEY: torch.zeros(2, 1, 1, dtype=torch.int64),
        **{key: torch.zeros(2, 1, 1, dtype=torch.bool) for key in CONCEPT_KEYS},
    }
    assert DrivingTiles.prepare(gated(), samples).inputs[MEASURES][:, :2].tolist() == [
        [0, 0],
        pytest.approx([0.3, 0.3]),
    ]
    windows = DrivingTiles(DrivingTilesConfig(**SMALL)).windows
    assert tuple(windows[ACTION]) == (-1, 0)  # the frame before, whatever was left out of the training


def test_controls_are_what_a_car_takes() -> None:
    from driving_policies import SMALL

    robot = DrivingTilesPreprocessor(DrivingTilesConfig(**SMALL))
    assert robot.actions(outputs(-1.5, 0.5)).tolist() == [[-1.0, 0.5, 0.0]]
    assert robot.actions(outputs(0.5, -0.75)).tolist() == [[0.5, 0.0, 0.75]]
    assert robot.actions(outputs(0.0, -0.05)).tolist() == [[0.0, 0.0, 0.0]]  # a brake that only trembles
    assert robot.concepts == dict.fromkeys(CONCEPT_KEYS, 0.5)
    assert robot.actions(outputs(0.0, -0.75)).dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({CAMERA: np.zeros((128, 128, 3), np.uint8)}, "must be uint8"),
        ({STATE: np.array([np.nan])}, "one finite number"),
        ({COMMAND_KEY: np.array([9])}, f"'{COMMAND_KEY}' is 9; it must be one whole number from 0 to 8"),
    ],
)
def test_bad_observations_are_refused(change: Observation, message: str) -> None:
    robot = DrivingVggPreprocessor(DrivingVggConfig())
    with pytest.raises(ObservationError, match=message):
        robot.inputs(observation() | change)
    with pytest.raises(ObservationError, match=f"no '{COMMAND_KEY}'"):
        robot.inputs({k: v for k, v in observation().items() if k != COMMAND_KEY})
    with pytest.raises(ObservationError, match="3 finite numbers"):
        robot.actions(outputs(0.0, np.nan, 0.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DrivingTilesConfig(channels=(24,), strides=(2,), gated=True), "must be a multiple of 16"),
        (lambda: DrivingTilesConfig(image_size=100), "'image_size' is 100"),
        (lambda: DrivingTilesConfig(channels=(32,)), "has 1 entries and 'strides' 8"),
        (lambda: DrivingVggConfig(strides=(2, 2, 2, 2, 3)), "each must be 1 or 2"),
        (lambda: DrivingVggConfig(frames=0), "'frames' is 0"),
        (lambda: DrivingVggConfig(hidden=(0,)), "from 1 to 4096"),
    ],
)
def test_bad_sizes_are_refused(make: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make()
