"""Folders of policies that are damaged, of other kinds or hostile: each is refused by name, and nothing is written."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot_saved import CASES, write_saved

from vla_training.cli import main

BY_NAME = {case.name: case for case in CASES}
BEFORE, BEHIND, WEIGHTS = "policy_preprocessor.json", "policy_postprocessor.json", "model.safetensors"
STATE = "observation.state"

Edit = Callable[[Any], Any]


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What is said of a folder that is not imported."""
    out = folder.parent / "ours"
    assert main(["import-lerobot", str(folder), "-o", str(out), *options]) == 1
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
    return said


def edited(path: Path, edit: Edit) -> None:
    """Change a JSON file; an edit that returns something replaces the whole."""
    table = json.loads(path.read_text())
    found = edit(table)
    path.write_text(json.dumps(table if found is None else found))


def put(*names: Any, value: Any) -> Edit:
    """Set what lies under these names."""

    def edit(table: Any) -> None:
        for name in names[:-1]:
            table = table[name]
        table[names[-1]] = value

    return edit


def without(*names: Any) -> Edit:
    def edit(table: Any) -> None:
        for name in names[:-1]:
            table = table[name]
        del table[names[-1]]

    return edit


CONFIGS: list[tuple[Edit, str]] = [
    (lambda table: [table], "is no table; give the folder of a policy that LeRobot saved"),
    (without("type"), "has no 'type'"),
    (put("type", value=3), "'type' is '3'; it must be a text"),
    (put("type", value="smolvla"), "the policy's type is 'smolvla'; act and diffusion are imported"),
    (put("use_peft", value=True), "'use_peft' is on; merge the adapter"),
    (without("dim_model"), "has no 'dim_model'; this version of LeRobot's files is not read"),
    (put("dim_model", value="32"), "'dim_model' is '32'; it must be a whole number"),
    (put("dim_model", value=True), "'dim_model' is 'True'; it must be a whole number"),
    (put("pre_norm", value=0), "'pre_norm' is '0'; it must be true or false"),
    (put("temporal_ensemble_coeff", value="0.1"), "'temporal_ensemble_coeff' is '0.1'; it must be a number"),
    (put("n_heads", value=5), "'width' is 32; it must be a multiple of 4 and of 5 heads"),
    (put("n_action_steps", value=9), "'execute' is 9; it must be from 1 to 8"),
    (put("chunk_size", value=0), "'horizon' is 0; it must be from 1 to 1024"),
    (put("feedforward_activation", value="glu"), "'activation' is 'glu'; it must be relu or gelu"),
    (put("vision_backbone", value="resnet50"), "'backbone' is 'resnet50'; it must be resnet18 or resnet34"),
    (put("replace_final_stride_with_dilation", value=True), "no ResNet-18 or -34 has that"),
    (put("n_obs_steps", value=2), "'n_obs_steps' is 2; ACT sees one step"),
    (
        put("dim_feedforward", value=10_000),
        "the weights are not those of config.json: size mismatch for encoder.0.linear1",
    ),
    (put("n_encoder_layers", value=256), "the weights are not those of config.json: Missing key(s)"),
    (put("input_features", value=None), "'input_features' is 'None'; it must be a table"),
    (put("input_features", STATE, value=[4]), f"the feature '{STATE}' is '[4]'; it needs a type, and a shape"),
    (put("input_features", STATE, "shape", value=[10**12]), "a shape of sizes from 1 to 4096"),
    (put("input_features", STATE, "shape", value=[4, 4]), "has shape [4, 4]; it must be 1 to 4096 values, or an image"),
    (put("input_features", STATE, "shape", value=[0]), "a shape of sizes from 1 to 4096"),
    (without("input_features", "observation.environment_state"), "it sees 'state' alone; it must see an image or"),
    (
        put("input_features", "observation.world", value={"type": "ENV", "shape": [2]}),
        "the feature 'observation.world' of type ENV is none that can be imported",
    ),
    (
        put("input_features", "observation.state", value={"type": "VISUAL", "shape": [3, 4, 4]}),
        "the feature 'observation.state' of type VISUAL is none",
    ),
    (
        put("input_features", "observation.images.a/b", value={"type": "VISUAL", "shape": [3, 4, 4]}),
        "the feature 'observation.images.a/b' of type VISUAL is none",
    ),
    (
        put("input_features", "observation.depth", value={"type": "VISUAL", "shape": [1, 4, 4]}),
        "'observation.depth' is None; in config.json it is VISUAL",
    ),
    (put("output_features", value={}), "the feature 'action' is 'None'"),
    (put("output_features", "action", "type", value="STATE"), "'action' is STATE of shape [3]; it must be an ACTION"),
]


@pytest.mark.parametrize(("edit", "text"), CONFIGS, ids=[text for _, text in CONFIGS])
def test_config(edit: Edit, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    edited(folder / "config.json", edit)
    said = refused(folder, capsys)
    assert text in said and str(folder) in said


SAMPLERS: list[tuple[Edit, str]] = [
    (put("noise_scheduler_type", value="PNDM"), "'noise_scheduler_type' is 'PNDM'; DDIM and DDPM are supported"),
    (put("prediction_type", value="v_prediction"), "'prediction_type' is 'v_prediction'; epsilon and sample are"),
    (
        put("beta_schedule", value="sigmoid"),
        "'schedule' is 'sigmoid'; it must be linear or scaled_linear or squaredcos",
    ),
    (put("num_inference_steps", value=10), "'sampler_steps' is 10; it must be from 1 to 9"),
    (put("num_inference_steps", value="4"), "'sampler_steps' is '4'; it must be an integer"),
    (put("beta_end", value=2), "the noise is from 0.0001 to 2; both must be between 0 and 1"),
    (put("clip_sample_range", value=0), "'reach' is 0.0; it must be above 0"),
    (put("down_dims", value=[16, "a"]), "'channels' is \"[16, 'a']\"; it must be a list"),
    (put("down_dims", value=[4, 16, 32]), "'channels' begins with 4; it must be a multiple of 8"),
    (put("n_groups", value=3), "'channels' is [16, 16, 32]; it must be 1 to 8 multiples of 'groups', 3"),
    (put("horizon", value=6), "'horizon' is 6; 3 stages halve it each time"),
    (put("kernel_size", value=4), "'kernel' is 4 and 'time_width' 16; odd, and even"),
    (put("crop_shape", value=[4]), "'crop_shape' is '[4]'; it must be two numbers"),
    (
        put("resize_shape", value=[4, 10**9]),
        "'resize_shape' is '[4, 1000000000]'; it must be two numbers from 1 to 4096",
    ),
    (without("input_features", STATE), "it has no input 'state', which it must see"),
]


@pytest.mark.parametrize(("edit", "text"), SAMPLERS, ids=[text for _, text in SAMPLERS])
def test_diffusion(edit: Edit, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["diffusion_state"], tmp_path / "saved")
    edited(folder / "config.json", edit)
    assert text in refused(folder, capsys)


def test_images_of_different_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["diffusion_cameras"], tmp_path / "saved")
    edited(folder / "config.json", put("crop_shape", value=None))
    edited(folder / "config.json", put("input_features", "observation.images.top", "shape", value=[3, 40, 64]))
    assert "images are of sizes [(3, 40, 64), (3, 41, 64)]; all must be of one" in refused(folder, capsys)
    edited(folder / "config.json", put("crop_shape", value=[41, 64]))
    assert "of shape [3, 40, 64] cannot be cropped to [41, 64]" in refused(folder, capsys)


STEPS: list[tuple[str, Edit, str]] = [
    (BEFORE, lambda table: [], "is no table"),
    (BEFORE, without("steps"), "has no 'steps'"),
    (BEFORE, put("steps", 1, value={"class": "os.system"}), "is none of LeRobot's own; no other code is run"),
    (
        BEFORE,
        put("steps", 1, "registry_name", value="tokenizer_processor"),
        "step 'tokenizer_processor' is not supported",
    ),
    (
        BEFORE,
        put("steps", 0, "registry_name", value="normalizer_processor"),
        "step 'normalizer_processor' is there twice",
    ),
    (BEFORE, put("steps", 0, "config", "rename_map", value={"a": 3}), "'rename_map' is"),
    (BEFORE, put("steps", 0, "config", value=3), "the options of step 'rename_observations_processor' are no table"),
    (BEFORE, put("steps", 3, "state_file", value="../secret.safetensors"), "it must be the name of a file beside it"),
    (BEFORE, put("steps", 3, "state_file", value=""), "it must be the name of a file beside it"),
    (BEFORE, put("steps", 3, "state_file", value="other.safetensors"), "other.safetensors cannot be read"),
    (
        BEFORE,
        put("steps", 3, "config", "norm_map", "STATE", value="LOG"),
        f"'{STATE}' is normalized by 'LOG'; known are",
    ),
    (BEFORE, put("steps", 3, "config", "norm_map", "STATE", value=["A"]), f"'{STATE}' is normalized by \"['A']\""),
    (BEFORE, put("steps", 3, "config", "norm_map", "STATE", value="QUANTILES"), f"'q01' of '{STATE}' is missing"),
    (BEFORE, without("steps", 3, "config", "norm_map"), "has no 'norm_map'"),
    (BEFORE, put("steps", 3, "config", "eps", value="0"), "'eps' is '0'; it must be a number"),
    (BEFORE, without("steps", 3, "state_file"), f"has no statistics of '{STATE}'; copy all files of the policy"),
    (BEFORE, without("steps", 3, "config", "features"), "has no 'features'"),
    (BEFORE, put("steps", 3, "config", "features", value={}), f"'{STATE}' is None; in config.json it is STATE"),
    (
        BEFORE,
        put("steps", 3, "config", "features", STATE, "type", value="ACTION"),
        f"'{STATE}' is ACTION; in config.json it is STATE",
    ),
    (BEFORE, put("steps", 3, "config", "normalize_observation_keys", value=[]), "'normalize_observation_keys' is not"),
    (
        BEHIND,
        put("steps", 0, "registry_name", value="normalizer_processor"),
        "step 'normalizer_processor' is not supported",
    ),
]


@pytest.mark.parametrize(("file", "edit", "text"), STEPS, ids=[text for *_, text in STEPS])
def test_processors(file: str, edit: Edit, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    edited(folder / file, edit)
    said = refused(folder, capsys)
    assert text in said and str(folder) in said


def stored(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the tensors of a file."""
    from safetensors.torch import save_file

    tensors = stored(path)
    change(tensors)
    save_file(tensors, path)


def of_numpy(array: Any) -> Any:
    import torch

    return torch.from_numpy(np.array(array))


STATISTICS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda t: t.pop(f"{STATE}.min"), f"'min' of '{STATE}' is missing; it must be 4 finite numbers"),
    (
        lambda t: t.update({f"{STATE}.min": of_numpy([1.0, 2.0])}),
        f"'min' of '{STATE}' is [1.0, 2.0]; it must be 4 finite",
    ),
    (lambda t: t.update({f"{STATE}.max": of_numpy([np.inf] * 4)}), f"'max' of '{STATE}' is [inf, inf, inf, inf]"),
]


@pytest.mark.parametrize(("change", "text"), STATISTICS, ids=[text for _, text in STATISTICS])
def test_statistics(change: Any, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    changed(folder / "policy_preprocessor_step_3_normalizer_processor.safetensors", change)
    assert text in refused(folder, capsys)


HEAD = "model.action_head.weight"
TENSORS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda t: t.pop(HEAD), 'the weights are not those of config.json: Missing key(s) in state_dict: "out.weight"'),
    (lambda t: t.update(extra=of_numpy([1.0])), "the weight 'extra' is of no part that is known"),
    (lambda t: t.update({HEAD: of_numpy(np.zeros((3, 31), np.float32))}), "size mismatch for out.weight"),
    (lambda t: t.update({HEAD: of_numpy(np.zeros((3, 32), np.int8))}), f"'{HEAD}' is I8; weights are F64, F32"),
    (lambda t: t.update({HEAD: of_numpy(np.float32(1))}), "size mismatch for out.weight"),
    (lambda t: t[HEAD][1].fill_(np.nan), "the weights of 'out.weight' are not all finite numbers"),
    (
        lambda t: t.update({HEAD: of_numpy(np.full((3, 32), 1e300))}),
        "the weights of 'out.weight' are not all finite numbers",  # in float32
    ),
]


@pytest.mark.parametrize(("change", "text"), TENSORS, ids=[text for _, text in TENSORS])
def test_weights(change: Any, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    changed(folder / WEIGHTS, change)
    said = refused(folder, capsys)
    assert text in said and str(folder) in said


def test_a_damaged_batch_norm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_images"], tmp_path / "saved")
    changed(folder / WEIGHTS, lambda t: t.pop("model.backbone.layer2.0.bn1.bias"))
    assert "the norm 'trunk.layer2.0.bn1' cannot be joined with its convolution" in refused(folder, capsys)
    changed(folder / WEIGHTS, lambda t: t.update({"model.backbone.layer2.0.bn1.bias": of_numpy(np.zeros(128, "f"))}))
    changed(folder / WEIGHTS, lambda t: t["model.backbone.bn1.running_var"].fill_(-1))
    assert "the weights of 'trunk.conv1.weight' are not all finite numbers" in refused(folder, capsys)


@pytest.mark.parametrize("file", ["config.json", WEIGHTS, BEFORE])
@pytest.mark.parametrize("damage", ["cut", "empty", "folder", "text"])
def test_files_that_are_none(damage: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    path = folder / file
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"\xff" * 99}[damage])
    assert f"{path} cannot be read" in refused(folder, capsys)


@pytest.mark.parametrize("file", ["config.json", WEIGHTS, BEHIND])
def test_files_that_are_missing(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    (folder / file).unlink()
    assert f"{folder / file} cannot be read" in refused(folder, capsys)


def test_statistics_that_are_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    (folder / BEFORE).unlink()
    assert f"{folder} has neither {BEFORE} nor statistics among its weights; copy all files" in refused(folder, capsys)


def test_json_of_any_depth_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    (folder / "config.json").write_text("[" * 100_000)
    assert "it is nested too deep" in refused(folder, capsys)
    (folder / "config.json").write_text(" " * 4_000_001)
    assert "has 4,000,001 bytes; at most 4,000,000 are read" in refused(folder, capsys)


def test_too_many_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    monkeypatch.setattr("vla_training.import_lerobot.folder._MOST_WEIGHTS", 100)
    assert "weights; at most 100 are read" in refused(folder, capsys)


class Hostile:
    """What makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("file", [WEIGHTS, "policy_preprocessor_step_3_normalizer_processor.safetensors"])
def test_nothing_is_unpickled(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, made = write_saved(BY_NAME["act_ensemble"], tmp_path / "in" / "saved"), tmp_path / "made"
    (folder / file).write_bytes(pickle.dumps(Hostile(made)))
    assert f"{folder / file} cannot be read" in refused(folder, capsys)
    assert not made.exists()
    pickle.loads((folder / file).read_bytes())
    assert made.exists(), "the file is hostile"


def test_an_output_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_saved(BY_NAME["act_ensemble"], tmp_path / "saved")
    (tmp_path / "ours").mkdir()
    assert main(["import-lerobot", str(folder), "-o", str(tmp_path / "ours")]) == 1
    assert "exists; choose another one" in capsys.readouterr().err
    assert not list((tmp_path / "ours").iterdir())
