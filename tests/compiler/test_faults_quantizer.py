"""What a quantizer must not do: each model beside ONNX Runtime's float32 on the model as the user wrote it.

    a clamp stays, whatever calibration happened to see      a tensor that is read twice keeps its whole range
    names mean nothing                                        a constant that says "never" sets no scale
    where an operator bounds its result, that is the range

Not here: which step of quantization keeps the promise.
"""

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


# --- a clamp stays, whatever calibration saw -----------------------------------------------------------------


@each_producer
@each_clamp
@pytest.mark.parametrize("bias", [-100.0, 100.0], ids=["below", "above"])
def test_a_clamp_that_calibration_saw_saturated(tmp_path, producer, clamp, bias):
    """Every value of the calibration data and of the test lies outside the clamp, so the result is its bound."""
    put, low, high = CLAMPS[clamp]
    net = Net()
    model = (put(net, producer(net, bias), "y"), net.model("y"))[1]
    state = compiled(model, normals(**net.inputs), tmp_path)
    samples = normals(4, 2, **net.inputs)
    wanted, found = exact(model, samples)["y"], ran(state, samples)["y"]
    assert snr(wanted, found) >= ENOUGH, (wanted.min(), wanted.max(), found.min(), found.max())
    step = state.program.outputs[0].scale / 2
    assert low - step <= found.min() and found.max() <= high + step
    if low == 0:
        assert found.min() >= 0


@each_producer
@each_clamp
def test_a_clamp_that_calibration_saw_alive(tmp_path, producer, clamp):
    put, low, high = CLAMPS[clamp]
    net = Net()
    model = (put(net, producer(net, 0.0), "y"), net.model("y"))[1]
    state = compiled(model, normals(**net.inputs), tmp_path)
    samples = normals(4, 2, **net.inputs)
    wanted, found = exact(model, samples)["y"], ran(state, samples)["y"]
    assert snr(wanted, found) >= ENOUGH - 4  # 26: inner tensors have ranges of their own
    step = state.program.outputs[0].scale / 2
    assert low - step <= found.min() and found.max() <= high + step


@each_clamp
def test_a_saturated_branch_beside_a_live_one(tmp_path, clamp):
    """Of -100 and of 100: what a Relu has cut off must not come back in a sum."""
    put = CLAMPS[clamp][0]
    for bias in (-100.0, 100.0):
        net = Net()
        put(net, conv(net, bias, "c"), "clamped")
        net.node("Add", ["clamped", conv(net, 0, "live")], "y")
        model = net.model("y")
        samples = normals(4, 2, **net.inputs)
        found = ran(compiled(model, normals(**net.inputs), tmp_path), samples)["y"]
        wanted = exact(model, samples)["y"]
        if np.abs(wanted).max() < 50:  # else the clamp is open and nothing is saturated
            assert snr(wanted, found) >= ENOUGH, (bias, snr(wanted, found))


def test_a_dead_bottleneck(tmp_path):
    """Squeeze and excitation whose inner Relu never opens: the gate is the Sigmoid of its bias."""
    net = Net()
    conv(net, 0, "c")
    net.node("GlobalAveragePool", ["c"], "g")
    net.node("Conv", ["g", net.constant("w1", net.normal(4, 16, 1, 1)), net.constant("b1", net.normal(4) - 50)], "s1")
    net.node("Relu", ["s1"], "s2")
    net.node("Conv", ["s2", net.constant("w2", net.normal(16, 4, 1, 1)), net.constant("b2", net.normal(16))], "s3")
    net.node("Sigmoid", ["s3"], "gate")
    net.node("Mul", ["c", "gate"], "y")
    model, samples = net.model("y"), normals(4, 2, x=SHAPE)
    found = ran(compiled(model, normals(x=SHAPE), tmp_path), samples)["y"]
    assert snr(exact(model, samples)["y"], found) >= ENOUGH


# --- a tensor with two readers -------------------------------------------------------------------------------


@each_producer
@pytest.mark.parametrize("clamp", ["Relu", "Relu6", "HardTanh", "Clip to 1", "off zero"])
@pytest.mark.parametrize("order", ["before first", "after first"])
def test_an_output_that_is_read_before_its_clamp(tmp_path, producer, clamp, order):
    """Both sides of the clamp are outputs: the first keeps what the second cuts off."""
    put = CLAMPS[clamp][0]
    net = Net()
    put(net, producer(net, 0.0), "y")
    model = net.model(*(("c", "y") if order == "before first" else ("y", "c")))
    samples = normals(4, 2, **net.inputs)
    found, wanted = ran(compiled(model, normals(**net.inputs), tmp_path), samples), exact(model, samples)
    for name in ("c", "y"):
        # the clamp may read what "c" was rounded to, whose steps are those of a wider range
        floor = ENOUGH if name == "c" else 24
        assert snr(wanted[name], found[name]) >= floor, (name, found[name].min(), found[name].max())


@each_producer
def test_a_clamp_beside_another_reader(tmp_path, producer):
    """One branch goes through Relu, the other reads the negative half; only their results are outputs."""
    net = Net()
    relu(net, producer(net, 0.0), "y")
    net.node("Neg", ["c"], "n")
    relu(net, "n", "z")
    model = net.model("y", "z")
    samples = normals(4, 2, **net.inputs)
    found, wanted = ran(compiled(model, normals(**net.inputs), tmp_path), samples), exact(model, samples)
    for name in ("y", "z"):
        assert snr(wanted[name], found[name]) >= 25, (name, found[name].min(), found[name].max())


# --- names ---------------------------------------------------------------------------------------------------

ROLES = {"image": "image", "k": "k", "scaled": "scaled", "w": "w", "b": "b", "c": "c", "r": "r", "w2": "w2", "y": "y"}
SUFFIXES = (
    "_scale",
    "_zero_point",
    "_quantized",
    "_quantized_scale",
    "_quantized_zero_point",
    "_QuantizeLinear",
    "_DequantizeLinear",
    "_QuantizeLinear_Input",
    "_QuantizeLinear_Output",
    "_DequantizeLinear_Output",
    "_orig",
    "_ReduceMin",
    "_ReduceMax",
    ".scale",
    ".zero_point",
    ".integers",
    ".quantized",
    ".dequantized",
    ".clipped",
    ".low",
    ".high",
    ".weight",
    ".int8",
    ".twice",
    "__reference",
    "#1",
)
PREFIXES = ("keep:", "node_", "val_")


def named(**names):
    """Mul by a constant, Conv, Relu, Conv: every value, constant and node called as asked."""
    n = ROLES | {f"node_{k}": f"n_{k}" for k in ROLES} | names
    net = Net()
    net.inputs[n["image"]] = (1, 3, 10, 10)
    net.constant(n["k"], 1 / 255)
    net.constant(n["w"], net.normal(16, 3, 3, 3))
    net.constant(n["b"], net.normal(16))
    net.constant(n["w2"], net.normal(4, 16, 1, 1))
    net.node("Mul", [n["image"], n["k"]], n["scaled"], name=n["node_scaled"])
    net.node("Conv", [n["scaled"], n["w"], n["b"]], n["c"], name=n["node_c"], pads=[1, 1, 1, 1])
    net.node("Relu", [n["c"]], n["r"], name=n["node_r"])
    net.node("Conv", [n["r"], n["w2"]], n["y"], name=n["node_y"])
    return net.model(n["y"]), n["image"], n["y"]


def pictures(seed, name):
    return {name: np.random.default_rng(seed).uniform(0, 255, (6, 1, 3, 10, 10)).astype(np.float32)}


@pytest.fixture(scope="module")
def plainly_named(tmp_path_factory):
    model, image, out = named()
    samples = pictures(2, image)
    state = compiled(model, pictures(1, image), tmp_path_factory.mktemp("plain"))
    found = ran(state, samples)[out]
    assert snr(exact(model, samples)[out], found) >= ENOUGH
    return found


@pytest.mark.parametrize("role", ["k", "scaled", "w", "b", "c", "r", "w2", "y", "image", "node_scaled", "node_c"])
def test_names_do_not_matter(tmp_path, plainly_named, role):
    """Whatever one of them is called, and like what, the numbers are those of plain names."""
    others = [name for name in ("image", "scaled", "w", "b", "c", "r", "w2", "y") if name != role]
    for other in others:
        for name in (*(f"{other}{s}" for s in SUFFIXES), *(f"{p}{other}" for p in PREFIXES)):
            model, image, out = named(**{role: name})
            found = ran(compiled(model, pictures(1, image), tmp_path), pictures(2, image))[out]
            assert np.array_equal(found, plainly_named), f"{role} is called '{name}'"


def test_many_names_at_once(tmp_path, plainly_named):
    model, image, out = named(
        k="image_scale", scaled="image_zero_point", c="image_quantized", r="c_scale", w="w2_quantized", y="keep:y"
    )
    found = ran(compiled(model, pictures(1, image), tmp_path), pictures(2, image))
    assert list(found) == ["keep:y"] and np.array_equal(found[out], plainly_named)


def test_two_outputs_whose_names_differ_by_a_marker(tmp_path):
    net = Net()
    conv(net, 0, "scores")
    net.node("Neg", ["scores"], "keep:scores")
    model, samples = net.model("scores", "keep:scores"), normals(2, 2, x=SHAPE)
    found, wanted = ran(compiled(model, normals(x=SHAPE), tmp_path), samples), exact(model, samples)
    assert sorted(found) == ["keep:scores", "scores"]
    for name, values in found.items():
        assert snr(wanted[name], values) >= ENOUGH


# --- ranges that are known -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        ("Sigmoid", 0.0, 1.0),
        ("Tanh", -1.0, 1.0),
        ("HardSigmoid", 0.0, 1.0),
        ("Relu6", 0.0, 6.0),
        ("HardTanh", -1.0, 1.0),
    ],
)
def test_the_range_of_a_bounded_function(tmp_path, function, low, high):
    """Calibration sees a tenth of it; the tensor can hold all of it, at the output and inside."""
    for last in (True, False):
        net = Net()
        conv(net, 0, "wide")
        net.node("Mul", ["wide", net.constant("small", 0.02)], "c")
        if function in CLAMPS:
            CLAMPS[function][0](net, "c", "f")
        else:
            net.node(function, ["c"], "f")
        if not last:
            net.node("Conv", ["f", net.constant("w", net.normal(4, 16, 1, 1))], "y")
        state = compiled(net.model("f" if last else "y"), normals(x=SHAPE), tmp_path)
        tensor = next(t for t in state.graph.tensors if t.label in ("f", "f_QuantizeLinear_Input"))
        reach = [(q - tensor.zero_point) * tensor.scale for q in (-128, 127)]
        assert reach[0] <= low + tensor.scale and reach[1] >= high - tensor.scale, reach


def unseen(net):
    """Samples on which a 1x1 convolution with weights "w" gives almost only its bias."""
    w = net.constants["w"].reshape(len(net.constants["w"]), -1).astype(np.float64)
    samples = normals(8, 1, x=SHAPE)["x"].astype(np.float64)
    flat = samples.reshape(8, SHAPE[1], -1)
    seen = np.linalg.pinv(w) @ (w @ flat)
    return {"x": (flat - 0.98 * seen).reshape(samples.shape).astype(np.float32)}


@pytest.mark.parametrize("clamp", ["Relu6", "HardTanh", "off zero", "Max, Min"])
@pytest.mark.parametrize("bias", [-5.0, 0.0, 5.0])
def test_a_clamp_of_known_range_on_inputs_unlike_the_calibration_data(tmp_path, clamp, bias):
    """The inputs have the range that was seen, the layer's result has not: its range comes from the clamp."""
    net = Net()
    net.inputs["x"] = SHAPE
    net.node(
        "Conv", ["x", net.constant("w", net.normal(3, 8, 1, 1, size=1.5)), net.constant("b", np.full(3, bias))], "c"
    )
    CLAMPS[clamp][0](net, "c", "y")
    model, samples = net.model("y"), normals(4, 2, x=SHAPE)
    found, wanted = ran(compiled(model, unseen(net), tmp_path), samples)["y"], exact(model, samples)["y"]
    assert np.ptp(wanted) > 0.5  # the test data do reach what calibration did not
    assert snr(wanted, found) >= 24, (found.min(), found.max())  # the input's step is 1 % of what HardTanh leaves


# --- constants that mean "never" -----------------------------------------------------------------------------

NEVER = [-1e4, -1e9, float(np.finfo(np.float32).min), -math.inf]
each_never = pytest.mark.parametrize("never", NEVER, ids=str)


def masked(net, never, how, producer=conv, shape=(1, 16, 1, 1)):
    """Make "d": what `producer` makes, with some channels put out of the running. Returns which stay."""
    producer(net, 0)
    keep = net.rng.random(max(shape)) > 0.5
    keep[:2] = True, False
    if how == "add":
        mask = np.where(keep, 0.0, never).astype(np.float32)
        net.node("Add", ["c", net.constant("mask", mask.reshape(shape))], "d")
    else:
        net.constant("condition", keep.reshape(shape), bool)
        net.node("Where", ["condition", "c", net.constant("never", never)], "d")
    return keep


@each_never
@pytest.mark.parametrize("how", ["add", "where"])
@pytest.mark.parametrize("function", ["Softmax", "LogSoftmax"])
def test_a_mask_before_softmax(tmp_path, never, how, function):
    net = Net()
    keep = masked(net, never, how)
    net.node(function, ["d"], "y", axis=1)
    model, samples = net.model("y"), normals(4, 2, x=SHAPE)
    found = ran(compiled(model, normals(x=SHAPE), tmp_path), samples)["y"]
    wanted = exact(model, samples)["y"]
    kept, dropped = found[:, :, keep], found[:, :, ~keep]
    assert snr(wanted[:, :, keep], kept) >= ENOUGH - 4  # some of the steps go to the masked ones
    if function == "Softmax":
        assert dropped.max() < 1e-3 < kept.max() and kept.sum(axis=2) == pytest.approx(1, abs=1e-2)
    else:
        assert (dropped.max(axis=2) < kept.max(axis=2) - 7).all()  # e^-7: under 0.1 % of the likeliest


@each_never
@pytest.mark.parametrize("how", ["add", "where"])
def test_a_mask_before_arg_max(tmp_path, never, how):
    """Action masking: no masked action is ever chosen, and the best of the others is."""
    net = Net()
    keep = masked(net, never, how)
    net.node("ArgMax", ["d"], "y", axis=1)
    model, samples = net.model("y"), normals(4, 2, x=SHAPE)
    found = ran(compiled(model, normals(x=SHAPE), tmp_path), samples)["y"]
    assert keep[found].all()
    assert (exact(model, samples)["y"] == found).mean() > 0.95  # near ties are decided by rounding


@each_never
@pytest.mark.parametrize("how", ["add", "where"])
def test_a_mask_before_reduce_max(tmp_path, never, how):
    net = Net()
    masked(net, never, how, gemm, (1, 40))
    net.node("ReduceMax", ["d", net.constant("axes", [1], np.int64)], "y")
    model, samples = net.model("y"), normals(4, 2, x=(1, 64))
    found = ran(compiled(model, normals(x=(1, 64)), tmp_path), samples)["y"]
    assert snr(exact(model, samples)["y"], found) >= ENOUGH


@each_never
@pytest.mark.parametrize("how", ["add", "where"])
def test_a_mask_before_relu(tmp_path, never, how):
    net = Net()
    keep = masked(net, never, how)
    relu(net, "d", "y")
    model, samples = net.model("y"), normals(4, 2, x=SHAPE)
    found = ran(compiled(model, normals(x=SHAPE), tmp_path), samples)["y"]
    assert snr(exact(model, samples)["y"], found) >= ENOUGH and not found[:, :, ~keep].any()


@each_never
@pytest.mark.parametrize("how", ["add", "where"])
def test_a_mask_of_logits(tmp_path, never, how):
    """A vector of actions, in a policy of two Gemm layers."""
    net = Net()

    def policy(net, bias):
        net.inputs["x"] = (1, 24)
        net.node(
            "Gemm", ["x", net.constant("w1", net.normal(24, 32, size=0.3)), net.constant("b1", net.normal(32))], "h"
        )
        relu(net, "h", "r")
        w, b = net.constant("w2", net.normal(32, 9, size=0.3)), net.constant("b2", net.normal(9) + bias)
        return net.node("Gemm", ["r", w, b], "c")

    keep = masked(net, never, how, policy, (1, 9))
    net.node("Softmax", ["d"], "y", axis=-1)
    model, samples = net.model("y"), normals(4, 2, x=(1, 24))
    found = ran(compiled(model, normals(x=(1, 24)), tmp_path), samples)["y"]
    assert snr(exact(model, samples)["y"], found) >= 25 and found[..., ~keep].max() < 1e-3


@each_never
@pytest.mark.parametrize("opset", [13, 22])
@pytest.mark.parametrize("behind", ["Conv", "Relu", "input", "MaxPool"])
def test_a_pad_before_max_pool(tmp_path, never, opset, behind):
    """SAME padding as TensorFlow's exporters write it."""
    net = Net()
    if behind == "input":
        net.inputs["x"] = SHAPE
    else:
        conv(net, 0, "c")
    if behind == "Relu":
        relu(net, "c", "e")
    elif behind == "MaxPool":
        net.node("MaxPool", ["c"], "e", kernel_shape=[2, 2])
    else:
        net.node("Identity", ["x" if behind == "input" else "c"], "e")
    pads = net.constant("pads", [0, 0, 1, 0, 0, 0, 1, 2], np.int64)
    net.node("Pad", ["e", pads, net.constant("never", never)], "d")
    net.node("MaxPool", ["d"], "y", kernel_shape=[3, 3], strides=[2, 2])
    model, samples = net.model("y", opset=opset), normals(4, 2, x=SHAPE)
    state = compiled(model, normals(x=SHAPE), tmp_path)
    assert snr(exact(model, samples)["y"], ran(state, samples)["y"]) >= ENOUGH


def test_a_large_positive_pad_stays(tmp_path):
    """1e3 in a border is a value like others: it wins the maximum."""
    net = Net()
    conv(net, 0, "c")
    pads = net.constant("pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    net.node("Pad", ["c", pads, net.constant("value", 1e3)], "d")
    net.node("MaxPool", ["d"], "y", kernel_shape=[3, 3], strides=[2, 2])
    model, samples = net.model("y"), normals(2, 2, x=SHAPE)
    found = ran(compiled(model, normals(x=SHAPE), tmp_path), samples)["y"]
    assert snr(exact(model, samples)["y"], found) >= ENOUGH and found.max() > 900
