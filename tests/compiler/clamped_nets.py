"""Small float nets in the making, what makes a value and what clamps it; and their run in ONNX Runtime and on `sim`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlarun import Session

SHAPE = (1, 8, 10, 10)
ENOUGH = 30.0  # dB; a right 8-bit quantization of these models has 36 and more
NODE = helper.make_node


@dataclass
class Net:
    """A float model in the making: initializers and nodes under the names that a test gives them."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def normal(self, *shape: int, size: float = 1.0) -> np.ndarray:
        return (self.rng.standard_normal(shape) * size).astype(np.float32)

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def node(self, kind: str, inputs: list[str], out: str, **attributes: object) -> str:
        self.nodes.append(NODE(kind, inputs, [out], name=attributes.pop("name", f"node_{out}"), **attributes))
        return out

    def model(self, *outputs: str, opset: int = 18) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs.items()],
            [onnx.ValueInfoProto(name=n) for n in outputs],
            [numpy_helper.from_array(v, n) for n, v in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        known = {v.name: v for v in [*inferred.graph.value_info, *inferred.graph.output]}
        del model.graph.output[:]
        model.graph.output.extend(known[n] for n in outputs)
        onnx.checker.check_model(model, full_check=True)
        return model


def compiled(model, samples, tmp_path):
    """The compilation with `samples`, a dict of arrays [N, ...], as calibration data."""
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "calib.npz", **samples)
    return compile_file(tmp_path / "model.onnx", load("u50"), CompileOptions(calibration=str(tmp_path / "calib.npz")))


def ran(state, samples):
    """The program's outputs for all samples, by name."""
    session = Session(state.program, backend="sim")
    runs = [session.run({k: v[i] for k, v in samples.items()}) for i in range(len(next(iter(samples.values()))))]
    return {name: np.stack([r[name] for r in runs]) for name in runs[0]}


def exact(model, samples):
    """ONNX Runtime's float outputs of the user's model for all samples, by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    runs = [session.run(names, {k: v[i] for k, v in samples.items()}) for i in range(len(next(iter(samples.values()))))]
    return {name: np.stack([r[i] for r in runs]) for i, name in enumerate(names)}


def snr(wanted, found):
    """Decibels of signal over noise; infinite where nothing differs."""
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    noise, signal = ((wanted - found) ** 2).sum(), (wanted**2).sum()
    return math.inf if noise == 0 else -math.inf if signal == 0 else float(10 * np.log10(signal / noise))


def normals(count=8, seed=1, **shapes):
    """Seeded samples; of vectors 16 times as many, so that calibration has seen what there is to see."""
    rng = np.random.default_rng(seed)
    count *= 16 if max(map(math.prod, shapes.values())) < 100 else 1
    return {name: rng.standard_normal((count, *shape)).astype(np.float32) for name, shape in shapes.items()}


# --- what a clamp can stand behind ---------------------------------------------------------------------------
# Each makes the value "c" from the input "x", moved by `bias`; without it c spreads over about -8..8.


def conv(net, bias, out="c"):
    net.inputs["x"] = SHAPE
    w = net.constant(f"w_{out}", net.normal(16, 8, 3, 3, size=0.2))
    return net.node("Conv", ["x", w, net.constant(f"b_{out}", net.normal(16) + bias)], out, pads=[1, 1, 1, 1])


def depthwise(net, bias):
    net.inputs["x"] = SHAPE
    w = net.constant("w", net.normal(8, 1, 3, 3))
    return net.node("Conv", ["x", w, net.constant("b", net.normal(8) + bias)], "c", pads=[1, 1, 1, 1], group=8)


def conv_transpose(net, bias):
    net.inputs["x"] = SHAPE
    w = net.constant("w", net.normal(8, 16, 3, 3, size=0.5))
    return net.node("ConvTranspose", ["x", w, net.constant("b", net.normal(16) + bias)], "c", strides=[2, 2])


def gemm(net, bias):
    net.inputs["x"] = (1, 64)
    w = net.constant("w", net.normal(64, 40, size=0.3))
    return net.node("Gemm", ["x", w, net.constant("b", net.normal(40) + bias)], "c")


def matmul(net, bias):
    net.inputs["x"] = (1, 64)
    net.node("MatMul", ["x", net.constant("w", net.normal(64, 40, size=0.3))], "m")
    return net.node("Add", ["m", net.constant("b", net.normal(40) + bias)], "c")


def batch_norm(net, bias):
    net.inputs["x"] = SHAPE
    values = {"s": net.normal(8) + 3, "o": net.normal(8) + bias, "m": net.normal(8), "v": net.normal(8) ** 2 + 0.5}
    return net.node("BatchNormalization", ["x", *(net.constant(k, v) for k, v in values.items())], "c")


def add(net, bias):
    """The sum of two branches."""
    conv(net, bias, "left")
    return net.node("Add", ["left", conv(net, 0, "right")], "c")


def residual(net, bias):
    """A convolution and what it was made from."""
    conv(net, 0, "stem")
    w = net.constant("w", net.normal(16, 16, 1, 1, size=0.3))
    net.node("Conv", ["stem", w, net.constant("b", net.normal(16) + bias)], "branch")
    return net.node("Add", ["branch", "stem"], "c")


def concat(net, bias):
    conv(net, bias, "left")
    return net.node("Concat", ["left", conv(net, bias, "right")], "c", axis=1)


def max_pool(net, bias):
    return net.node("MaxPool", [conv(net, bias, "inner")], "c", kernel_shape=[2, 2], strides=[2, 2])


def average_pool(net, bias):
    return net.node("AveragePool", [conv(net, bias, "inner")], "c", kernel_shape=[2, 2], strides=[2, 2])


def global_average_pool(net, bias):
    return net.node("GlobalAveragePool", [conv(net, bias, "inner")], "c")


def tanh(net, bias):
    """Moved after the function: its own result lies in -1..1."""
    conv(net, 0, "inner")
    net.node("Tanh", ["inner"], "t")
    return net.node("Add", ["t", net.constant("bias", np.float32(bias / 10))], "c")


def alone(net, bias):
    """The model input itself."""
    net.inputs["x"] = SHAPE
    return net.node("Add", ["x", net.constant("bias", np.float32(bias))], "c")


PRODUCERS: tuple[Callable[[Net, float], str], ...] = (
    conv,
    depthwise,
    conv_transpose,
    gemm,
    matmul,
    batch_norm,
    add,
    residual,
    concat,
    max_pool,
    average_pool,
    global_average_pool,
    tanh,
    alone,
)


def clip(low, high):
    def put(net, x, out):
        names = [
            "" if v is None else net.constant(f"{k}_{out}", v)
            for k, v in zip(("low", "high"), (low, high), strict=True)
        ]
        return net.node("Clip", [x, *names], out)

    return put, (-math.inf if low is None else low), (math.inf if high is None else high)


def relu(net, x, out):
    return net.node("Relu", [x], out)


def max_min(net, x, out):
    net.node("Max", [x, net.constant(f"low_{out}", 0)], f"max_{out}")
    return net.node("Min", [f"max_{out}", net.constant(f"high_{out}", 6)], out)


def hard_tanh_of_hard_sigmoid(net, x, out):
    return net.node("HardSigmoid", [x], out, alpha=1 / 6, beta=0.5)


CLAMPS = {
    "Relu": (relu, 0.0, math.inf),
    "Relu6": clip(0.0, 6.0),
    "Clip from 0": clip(0.0, None),
    "Clip to 1": clip(None, 1.0),
    "HardTanh": clip(-1.0, 1.0),
    "off zero": clip(2.0, 5.0),
    "Max, Min": (max_min, 0.0, 6.0),
    "HardSigmoid": (hard_tanh_of_hard_sigmoid, 0.0, 1.0),
}
each_producer = pytest.mark.parametrize("producer", PRODUCERS, ids=lambda p: p.__name__)
each_clamp = pytest.mark.parametrize("clamp", CLAMPS)
