"""Names of a model mean nothing to the quantizer: the same model under other names has the same outputs."""

from __future__ import annotations

import numpy as np
import pytest
from clamped_nets import ENOUGH, SHAPE, Net, compiled, conv, exact, normals, ran, snr

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
