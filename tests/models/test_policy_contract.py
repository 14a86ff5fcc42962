"""What every registered policy must offer: saving, loading, static export, parity with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import vla_models
from vla_models.errors import ExportError, PolicyError

NAMES = sorted(p.parent.name for p in Path(vla_models.__file__).parent.glob("*/model.py"))


def test_every_folder_is_registered() -> None:
    from vla_models.policy import POLICIES

    assert sorted(spec.name for spec in POLICIES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, tmp_path: Path) -> None:
    import torch

    from vla_models.export_onnx import TOLERANCE, check_parity, export_onnx
    from vla_models.policy import load_policy, make_policy, save_policy

    torch.manual_seed(0)
    policy = make_policy(name, {})
    difference = export_onnx(policy, tmp_path / "model.onnx")
    assert difference <= TOLERANCE
    model = onnx.load(tmp_path / "model.onnx")
    example = policy.example_inputs()
    assert [value.name for value in model.graph.input] == list(policy.input_names)
    assert [value.name for value in model.graph.output] == list(policy.output_names)
    for value in model.graph.input:
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        assert shape == list(example[value.name].shape)
    assert {entry.version for entry in model.opset_import if not entry.domain} == {20}
    assert {node.op_type for node in model.graph.node} <= {"Conv", "Relu", "Reshape", "Gemm", "Concat"}
    assert b".py" not in (tmp_path / "model.onnx").read_bytes()  # no source paths of this machine

    save_policy(tmp_path, name, policy)
    loaded = load_policy(tmp_path)
    inputs = list(example.values())
    with torch.no_grad():
        assert torch.equal(loaded(*inputs), policy(*inputs))

    with torch.no_grad():
        next(iter(policy.parameters())).add_(0.5)
    with pytest.raises(ExportError, match="differs from torch"):
        check_parity(policy, tmp_path / "model.onnx")


def test_mistakes(tmp_path: Path) -> None:
    from vla_models.policy import find_policy, load_policy, make_policy, save_policy

    with pytest.raises(PolicyError, match="Did you mean 'babyai_cnn'"):
        find_policy("babyai_cn")
    with pytest.raises(PolicyError, match="unexpected keyword"):
        make_policy("babyai_cnn", {"depth": 3})
    with pytest.raises(PolicyError, match="is not a saved policy"):
        load_policy(tmp_path)
    save_policy(tmp_path, "babyai_cnn", make_policy("babyai_cnn", {"channels": [8, 8, 8], "hidden": 8}))
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(PolicyError, match="is not a saved policy"):
        load_policy(tmp_path)
