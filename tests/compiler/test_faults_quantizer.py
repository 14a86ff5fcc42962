"""What a quantizer must not do, beside ONNX Runtime's float32 on the model as the user wrote it: ranges.

A clamp stays, whatever calibration happened to see; a tensor that is read twice keeps its whole range; where an
operator bounds its result, that is the range. Not here: which step of quantization keeps the promise.
"""

from __future__ import annotations

import numpy as np
import pytest
from clamped_nets import (
    CLAMPS,
    ENOUGH,
    SHAPE,
    Net,
    compiled,
    conv,
    each_clamp,
    each_producer,
    exact,
    normals,
    ran,
    relu,
    snr,
)

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
