"""ONNX's own Attention and RotaryEmbedding in every form become the one form, and compute the same."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from recovered import check, reference

RNG = np.random.default_rng(0)
B, H, G, S, D = 1, 4, 2, 6, 8


def f(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def built(op, inputs, outputs, opset=23, constants=None, **attributes):
    """A model of one node, whose inputs in order are arrays or None; those named in `constants` are constants."""
    names = [n if a is not None else "" for n, a in inputs.items()]
    node = helper.make_node(op, names, outputs, **attributes)
    given = {n: a for n, a in inputs.items() if a is not None}
    fixed = {n: a for n, a in given.items() if n in (constants or ())}
    feeds = {n: a for n, a in given.items() if n not in fixed}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    results = [helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, None) for o in outputs if o]
    tensors = [numpy_helper.from_array(a, n) for n, a in fixed.items()]
    found = helper.make_model(
        helper.make_graph([node], "g", infos, results, tensors),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    for result, array in zip(found.graph.output, reference(found, feeds), strict=True):
        result.CopyFrom(helper.make_tensor_value_info(result.name, onnx.TensorProto.FLOAT, array.shape))
    return found, feeds


Q4, K4, V4 = f(B, H, S, D), f(B, G, S, D), f(B, G, S, D)
Q3, K3, V3 = f(B, S, H * D), f(B, S, G * D), f(B, S, G * D)
HEADS = {"q_num_heads": H, "kv_num_heads": G}
FOUR, THREE = {"q": Q4, "k": K4, "v": V4}, {"q": Q3, "k": K3, "v": V3}
PAST = {"m": None, "pk": f(B, G, 5, D), "pv": f(B, G, 5, D)}
ALL = ["y", "a", "c"]
CASES = {
    "four axes": (FOUR, ["y"], {}),
    "three axes": (THREE, ["y"], HEADS),
    "scale": (FOUR, ["y"], {"scale": 0.2}),
    "causal": (FOUR, ["y"], {"is_causal": 1}),
    "softcap": (FOUR, ["y"], {"softcap": 3.0}),
    "mask": (FOUR | {"m": f(S, S)}, ["y"], {}),
    "truth values": (THREE | {"m": np.tri(S, dtype=bool)}, ["y"], HEADS),
    "mask of heads": (FOUR | {"m": f(B, H, S, S)}, ["y"], {"is_causal": 1}),
    "past": (FOUR | PAST, ALL, {}),
    "past, three axes": (THREE | PAST, ALL, HEADS),
    "past, causal": (THREE | PAST, ALL, HEADS | {"is_causal": 1}),
    "past and mask": (THREE | PAST | {"m": f(S, S + 5)}, ALL, HEADS),
    "past, not returned": (FOUR | PAST, ["y"], {}),
    "past, causal, not returned": (THREE | PAST, ["y"], HEADS | {"is_causal": 1}),
    "past and mask, not returned": (THREE | PAST | {"m": f(S, S + 5)}, ["y"], HEADS),
    "present without a past, three axes": (THREE, ALL, HEADS | {"is_causal": 1}),
    "present keys alone": (THREE, ["y", "a"], HEADS),
    "keys of another length": ({"q": Q4, "k": f(B, G, 3, D), "v": f(B, G, 3, 5)}, ["y"], {}),
}


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize("name", CASES)
def test_attention(name, opset, fixed):
    inputs, outputs, attributes = CASES[name]
    if fixed and inputs.get("m") is None:
        pytest.skip("no mask")
    proto, feeds = built("Attention", inputs, outputs, opset, ["m"] if fixed else [], **attributes)
    (node,) = [n for n in check(proto, feeds, {"Attention": 1}, ()).graph if n.op_type == "Attention"]
    assert [len(v.shape) for v in node.inputs[:3]] == [3, 3, 3]
    assert {name: node.attributes[name].value for name in HEADS} == HEADS
    assert ("is_causal" in node.attributes) == (
        (attributes.get("is_causal", 0) == 1 and name != "past, causal, not returned")
        or (fixed and name == "truth values")
    )


def test_a_mask_of_fewer_keys_hides_the_others():
    """Opset 24; ONNX Runtime has it with a past alone."""
    mask = np.tri(S, S + 2, dtype=bool)
    proto, feeds = built("Attention", THREE | PAST | {"m": mask}, ALL, 24, ["m"], **HEADS)
    whole = np.pad(mask, [(0, 0), (0, 3)])
    wanted, _ = built("Attention", THREE | PAST | {"m": whole}, ALL, 24, ["m"], **HEADS)
    for a, b in zip(reference(proto, feeds), reference(wanted, feeds), strict=True):
        assert np.allclose(a, b)
    check(proto, feeds, {"Attention": 1}, ())


def test_the_product_as_an_output_stays():
    proto, feeds = built("Attention", FOUR, ["y", "", "", "l"])
    (node,) = [n for n in check(proto, feeds, {"Attention": 1}, ()).graph if n.op_type == "Attention"]
    assert len(node.inputs[0].shape) == 4


def test_lengths_stay():
    inputs = THREE | {"m": None, "pk": None, "pv": None, "n": np.array([4])}
    proto, feeds = built("Attention", inputs, ["y"], 24, **HEADS)
    (node,) = [n for n in check(proto, feeds, {"Attention": 1}, ()).graph if n.op_type == "Attention"]
    assert len(node.inputs) == 7


ANGLES = {"c": f(B, S, D // 2), "s": f(B, S, D // 2)}
TABLES = {"c": f(9, D // 2), "s": f(9, D // 2), "p": np.arange(2, 2 + S)[None]}
ROTATIONS = {
    "four axes": ({"x": Q4} | ANGLES, {}),
    "three axes": ({"x": Q3} | ANGLES, {"num_heads": H}),
    "pairs": ({"x": Q4} | ANGLES, {"interleaved": 1}),
    "positions": ({"x": Q4} | TABLES, {}),
    "positions, three axes": ({"x": Q3} | TABLES, {"num_heads": H}),
    "partial": ({"x": Q4, "c": f(B, S, 2), "s": f(B, S, 2)}, {"rotary_embedding_dim": 4}),
}


@pytest.mark.parametrize("name", ROTATIONS)
def test_rotation(name):
    inputs, attributes = ROTATIONS[name]
    proto, feeds = built("RotaryEmbedding", inputs, ["y"], **attributes)
    (node,) = [n for n in check(proto, feeds, {"RotaryEmbedding": 1}, ()).graph if n.op_type == "RotaryEmbedding"]
    assert [len(v.shape) for v in node.inputs] == [3, 3, 3]
    assert node.attributes["num_heads"].value == H
