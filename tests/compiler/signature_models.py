"""Models in the making, their programs, and both beside ONNX Runtime in decibels.

The reference is always ONNX Runtime on the model as it was given, in float (or on a quantized model, as it is).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vla_isa import image, package
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.passes import Compilation
from vlarun import Session, open_session

Array = NDArray[np.generic]
FLOAT = TensorProto.FLOAT
N = helper.make_node


def normal(*shape: int, scale: float = 1.0, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def info(name: str, shape: list[int], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def build(nodes, inputs, outputs, **constants) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def compiled(model: onnx.ModelProto, data: Mapping[str, Array] | None, tmp_path: Path, **options) -> Compilation:
    onnx.save(model, tmp_path / "m.onnx")
    return compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(calibration=data, **options))


def run(state: Compilation, data: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the program, through its file."""
    if state.package is not None:
        return open_session(package.loads(package.dumps(state.package))).run(data)
    return Session(image.loads(image.dumps(state.program))).run(data)


def reference(model: onnx.ModelProto, data: Mapping[str, Array]) -> dict[str, Array]:
    """ONNX Runtime on the model, sample by sample; the samples are on axis 0."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    shapes = {i.name: (tuple(i.shape), i.type) for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    runs = []
    for i in range(len(next(iter(data.values())))):
        runs.append(session.run(None, {n: data[n][i].reshape(shape) for n, (shape, _) in shapes.items()}))
    return {
        name: np.concatenate([r[k] for r in runs]) if runs[0][k].shape[:1] == (1,) else np.stack([r[k] for r in runs])
        for k, name in enumerate(names)
    }


def snr(wanted: Array, found: Array) -> float:
    assert wanted.shape == found.shape and wanted.dtype == found.dtype
    a, b = wanted.astype(np.float64), found.astype(np.float64)
    noise = ((a - b) ** 2).sum()
    return float("inf") if noise == 0 else 10 * np.log10((a**2).sum() / noise)


def check(model: onnx.ModelProto, data: Mapping[str, Array], tmp_path: Path, least: float = 30.0) -> Compilation:
    """Every output on the calibration data is `least` dB or better."""
    state = compiled(model, data, tmp_path)
    wanted, found = reference(model, data), run(state, data)
    assert list(found) == list(wanted)
    for name in wanted:
        assert snr(wanted[name], found[name]) >= least, (name, snr(wanted[name], found[name]))
    return state
