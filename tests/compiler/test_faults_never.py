"""A constant that says "never" (a mask, the padding of a MaxPool) sets no scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clamped_nets import ENOUGH, SHAPE, Net, compiled, conv, exact, gemm, normals, ran, relu, snr

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
