"""What every registered policy must offer: saving, loading, static export, parity with ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import vla_models
from vla_models.errors import ExportError, PolicyError

NAMES = sorted(p.parent.name for p in Path(vla_models.__file__).parent.glob("*/model.py"))

# policies of LeRobot have no default of what they observe
OBSERVED: dict[str, Any] = {
    "inputs": {
        "state": {"key": "observation.state", "shape": [4], "offset": [0.1] * 4, "scale": [2.0] * 4},
        "environment_state": {"key": "seen", "shape": [3], "offset": [0.0] * 3, "scale": [0.5] * 3},
    },
    "action": {"key": "action", "shape": [2], "offset": [1.0, 0.0], "scale": [3.0, 0.0]},
}
REQUIRED = {"lerobot_act": OBSERVED, "lerobot_diffusion": OBSERVED}

# exporters write every step of a sampler and every layer: minutes, for the default sizes
SMALLER = {
    "pi_zero": {"depth": 1, "sampler_steps": 2},
    "flow_autoregressive": {"depth": 1, "sampler_steps": 2, "horizon": 2, "execute": 2},
    "pi_zero_pixels": {"depth": 1, "tower_layers": 1, "sampler_steps": 2},
    "mlp_policy": {"sampler_steps": 2},
    "act": {"encoder_layers": 1},
    "rdt": {"depth": 2, "sampler_steps": 2, "horizon": 8, "execute": 8},
    "lerobot_act": {**OBSERVED, "encoder_layers": 1, "horizon": 6, "execute": 6, "width": 32, "hidden": 48},
    "lerobot_diffusion": {**OBSERVED, "channels": [16, 32], "time_width": 8, "sampler_steps": 2},
}


def test_every_folder_is_registered() -> None:
    from vla_models.registry import IMPORTED, POLICIES

    assert sorted(spec.name for spec in (*POLICIES, *IMPORTED)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, tmp_path: Path) -> None:
    import torch

    from vla_models.export_onnx import OPSET, TOLERANCE, check_parity, export_onnx
    from vla_models.registry import find_saved
    from vla_models.saved import load_policy, load_preprocessor, save_policy

    torch.manual_seed(0)
    spec = find_saved(name)
    policy = spec.make(spec.configured(SMALLER.get(name, {})))
    with torch.no_grad():
        for weight in policy.parameters():
            if not weight.any():  # a last layer of zeros would hide what is in front of it
                weight.normal_(std=0.1)
    graphs = policy.graphs()
    path = tmp_path / "model.onnx"
    assert export_onnx(policy, path) <= TOLERANCE
    for graph in graphs:
        target = path if len(graphs) == 1 else path.with_stem(f"model-{graph.name}")
        model = onnx.load(target)
        sizes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in model.graph.input}
        assert sizes == graph.inputs() and list(sizes) == list(graph.example())
        assert [value.name for value in model.graph.output] == list(graph.outputs)
        assert {entry.version for entry in model.opset_import if not entry.domain} == {OPSET}
        for weights in model.graph.initializer:
            weights.ClearField("raw_data")
        assert b".py" not in model.SerializeToString()  # no source paths of this machine
        for one, other in zip(graph.example(2).values(), graph.example(2).values(), strict=True):
            assert torch.equal(one, other)

    save_policy(tmp_path, name, policy.config, policy.state_dict())
    loaded = load_policy(tmp_path)
    assert loaded.config == policy.config
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in policy.state_dict().items())

    preprocessor = load_preprocessor(tmp_path)
    assert set(preprocessor.input_names) == {name for graph in graphs for name in graph.inputs()}
    assert set(preprocessor.output_names) <= {name for graph in graphs for name in graph.outputs}

    with torch.no_grad():
        first = next(iter(graphs[0].module.parameters()))
        first.add_(torch.rand_like(first))
    with pytest.raises(ExportError, match="differs from torch"):
        check_parity(graphs[0], path if len(graphs) == 1 else path.with_stem(f"model-{graphs[0].name}"))


def test_the_registry_needs_no_torch() -> None:
    code = "import sys; import vla_models.saved; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_graph_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_models import export_onnx as module
    from vla_models.registry import find_policy

    spec = find_policy("babyai_cnn")
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="changed the meaning"):
        module.export_onnx(spec.make(spec.configured({"channels": [8, 8, 8], "hidden": 8})), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_mistakes(tmp_path: Path) -> None:
    from vla_models.registry import find_policy
    from vla_models.saved import load_policy, save_policy

    with pytest.raises(PolicyError, match="Did you mean 'babyai_cnn'"):
        find_policy("babyai_cn")
    with pytest.raises(PolicyError, match="unexpected keyword"):
        find_policy("babyai_cnn").configured({"depth": 3})
    with pytest.raises(PolicyError, match="is not a saved policy"):
        load_policy(tmp_path)
    spec = find_policy("babyai_cnn")
    policy = spec.make(spec.configured({"channels": [8, 8, 8], "hidden": 8}))
    save_policy(tmp_path, "babyai_cnn", policy.config, policy.state_dict())
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(PolicyError, match="is not a saved policy"):
        load_policy(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_options_of_another_type_are_refused(name: str, tmp_path: Path) -> None:
    """By every reader of a saved policy, for every option: what Python would take for the right value, too."""
    import json

    from vla_models.registry import find_saved
    from vla_models.saved import load_policy, load_preprocessor

    spec = find_saved(name)
    plain = json.loads(json.dumps(vars(spec.configured(REQUIRED.get(name, {})))))
    wrong: dict[type, tuple[object, ...]] = {
        bool: ("false", "no", 1, 0, None, []),
        int: (4.0, 2.5, True, "4", None, [4]),
        float: ("4", True, None, [4.0]),
        str: (4, None, True, ["a"]),
        list: (3, "ab", None, {}, [True] * 8, ["a"] * 8),
        dict: (3, "ab", None, [{}]),
        type(None): ("4", True, [4.0]),  # of what may be a number or none
    }
    for key, right in plain.items():
        for value in wrong[type(right)]:
            if value is None and key == "reach":  # likewise
                continue
            if isinstance(value, list) and isinstance(right, list):
                value = value[: len(right)]
                if type(value[0]) is type(right[0]):  # texts, where texts are right
                    continue
            (tmp_path / "config.json").write_text(json.dumps({"type": name, **plain, key: value}))
            for read in (load_policy, load_preprocessor):
                with pytest.raises(PolicyError, match=rf"config.json: Policy '{name}': '{key}' is .*it must be"):
                    read(tmp_path)
    if name in REQUIRED:  # no base of another
        return
    quantized = {"type": "quantized", "policy": name, "options": {**plain, next(iter(plain)): "x"}, "graph": ""}
    for change in ({}, {"options": 3}, {"policy": 3}, {"graph": None}):
        (tmp_path / "config.json").write_text(json.dumps(quantized | change))
        for read in (load_policy, load_preprocessor):
            with pytest.raises(PolicyError, match="it must be"):
                read(tmp_path)
