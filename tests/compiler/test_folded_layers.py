"""What is multiplied and added around a layer, alone: which steps go into it, and the same numbers in ONNX Runtime."""

import numpy as np
import pytest
from rewritten import ops, rewritten

from vlac.rewrite.fold_affine import fold_affine

RNG = np.random.default_rng(0)


def array(*shape, low=-1.0, high=1.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


# the layer of input x and result h, six channels; its constants; the shape of x; the axes behind the channels
LAYERS = {
    "Conv": ("Conv (x, w, c)", {"w": array(6, 4, 3, 2), "c": array(6)}, (1, 4, 5, 6), 2),
    "Conv of a batch": ("Conv (x, w)", {"w": array(6, 4, 3, 2)}, (2, 4, 5, 6), 2),
    "Conv of groups": ("Conv <group = 2, pads = [1, 0, 1, 1]> (x, w)", {"w": array(6, 2, 3, 2)}, (1, 4, 5, 6), 2),
    "Conv over one axis": ("Conv (x, w, c)", {"w": array(6, 4, 3), "c": array(6)}, (1, 4, 9), 1),
    "ConvTranspose": ("ConvTranspose (x, w, c)", {"w": array(4, 6, 3, 2), "c": array(6)}, (1, 4, 5, 6), 2),
    "ConvTranspose of groups": ("ConvTranspose <group = 2> (x, w)", {"w": array(4, 3, 3, 2)}, (1, 4, 5, 6), 2),
    "Gemm": ("Gemm (x, w, c)", {"w": array(8, 6), "c": array(6)}, (3, 8), 0),
    "Gemm with factors": ("Gemm <alpha = 0.5, beta = 2.0, transB = 1> (x, w, c)",
                          {"w": array(6, 8), "c": array(1, 6)}, (3, 8), 0),
    "Gemm of one bias": ("Gemm <beta = 2.0> (x, w, c)", {"w": array(8, 6), "c": array(1)}, (3, 8), 0),
    "Gemm of a number": ("Gemm (x, w, c)", {"w": array(8, 6), "c": array()}, (3, 8), 0),
    "Gemm of transA": ("Gemm <transA = 1> (x, w)", {"w": array(8, 6)}, (8, 3), 0),
    "MatMul": ("MatMul (x, w)", {"w": array(8, 6)}, (3, 8), 0),
    "MatMul of a batch": ("MatMul (x, w)", {"w": array(8, 6)}, (2, 3, 8), 0),
    "MatMul of rows": ("MatMul (x, w)", {"w": array(8, 6)}, (2, 2, 3, 8), 0),
}  # fmt: skip
STEPS = {"Mul": "Mul (h, k)", "Mul from the left": "Mul (k, h)", "Add": "Add (h, k)", "Sub": "Sub (h, k)",
         "Sub from": "Sub (k, h)", "Div": "Div (h, k)", "Neg": "Neg (h)"}  # fmt: skip


def behind(layer, steps, constants, outputs="y", **options):
    """The model of h = layer(x) and some steps to y."""
    body, arrays, shape, _ = LAYERS[layer]
    given = f"float{list(shape)} x"
    inputs = options.pop("inputs", given).replace("X", given)
    return rewritten(
        fold_affine, f"h = {body} {steps}", inputs, outputs, rtol=1e-4, constants=arrays | constants, **options
    )


@pytest.mark.parametrize("form", ["number", "one", "channels", "leading"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("layer", LAYERS)
def test_one_step_behind(layer, step, form):
    after, rank = LAYERS[layer][3], len(LAYERS[layer][2])
    shape = {"number": (), "one": (1,) * (1 + after), "channels": (6, *[1] * after)}.get(form)
    shape = (*[1] * (rank - after - 1), 6, *[1] * after) if shape is None else shape
    found = ops(behind(layer, f"y = {STEPS[step]}", {"k": array(*shape, low=0.5, high=2)}))
    kind = layer.split()[0]
    if kind != "MatMul":
        assert found == [kind]
    elif step in ("Add", "Sub"):
        assert found == ["MatMul", step]  # it becomes a Gemm elsewhere
    elif step == "Sub from":
        assert found == (["Gemm"] if layer == "MatMul" else ["MatMul", "Add"])
    else:
        assert found == (["Gemm"] if layer == "MatMul" else ["MatMul"])


@pytest.mark.parametrize("layer", LAYERS)
def test_steps_in_their_order(layer):
    """Three times minus, and both kinds in between."""
    shape = (6, *[1] * LAYERS[layer][3])
    constants = {n: array(*shape, low=0.5, high=2) for n in "klmn"}
    steps = "a = Sub (k, h) b = Mul (a, l) d = Neg (b) e = Add (m, d) y = Div (e, n)"
    found = ops(behind(layer, steps, constants))
    kind = layer.split()[0]
    assert found == (["Gemm"] if layer == "MatMul" else [kind, "Add"] if kind == "MatMul" else [kind])


@pytest.mark.parametrize("epsilon", ["", "<epsilon = 0.5>"])
@pytest.mark.parametrize("layer", LAYERS)
def test_batch_normalization_behind(layer, epsilon):
    """Also of a channel that never varies; of channels on the second axis, wherever the layer's are."""
    shape = LAYERS[layer][2]
    kind = layer.split()[0]
    size = {"MatMul of a batch": 3, "MatMul of rows": 2}.get(layer, 6)
    constants = {n: array(size) for n in "pqr"} | {"v": np.linspace(0, 0.5, size, dtype=np.float32)}
    found = ops(behind(layer, f"y = BatchNormalization {epsilon} (h, p, q, r, v)", constants))
    assert found == ([kind, "BatchNormalization"] if size != 6 else ["Gemm"] if kind == "MatMul" else [kind]), shape


@pytest.mark.parametrize(
    ("layer", "steps", "constants"),
    [
        ("Conv", "y = Mul (h, k)", {"k": array(5)}),  # a factor per column
        ("Conv", "y = Mul (h, k)", {"k": array(3, 1)}),
        ("Conv", "y = Mul (h, k)", {"k": array(6, 3, 5)}),
        ("Conv", "y = Mul (h, k)", {"k": array(1, 1, 6, 1, 1)}),  # one axis more
        ("Conv", "y = Mul (h, k)", {"k": array(2, 1, 1, 1)}),  # two results
        ("Gemm", "y = Mul (h, k)", {"k": array(3, 1)}),  # a factor per row
        ("Gemm", "y = Mul (h, k)", {"k": array(3, 6)}),
        ("Conv", "y = Div (k, h)", {"k": np.float32(2)}),
        ("Conv", "y = Div (h, k)", {"k": np.float32([1, 2, 3, 0, 4, 5]).reshape(6, 1, 1)}),
        ("Conv", "y = Max (h, k)", {"k": np.float32(0.5)}),
        ("Conv", "y = Mul (h, h)", {}),
        ("Conv", "y = Relu (h)", {}),
        ("Gemm", "y = Mul (h, k)", {"k": np.float32(3e38)}),  # factors beyond float32
        ("Conv", "y = BatchNormalization (h, p, q, r, v)",
         {n: array(6) for n in "pqr"} | {"v": np.full(6, -1e-6, np.float32)}),
    ],
)  # fmt: skip
def test_steps_behind_that_stay(layer, steps, constants):
    if "k" in constants and constants["k"].size == 1 and constants["k"] > 1e38:
        body, arrays, shape, _ = LAYERS[layer]
        arrays = {n: 9 * a for n, a in arrays.items()}
        with np.errstate(all="ignore"):
            found = rewritten(
                fold_affine,
                f"h = {body} {steps}",
                f"float{list(shape)} x",
                constants=arrays | constants,
                computes=False,
            )
        assert ops(found) == [layer, "Mul"]
        return
    assert ops(behind(layer, steps, constants)) == [layer, steps.split()[2]]


def test_the_largest_weight_is_one():
    largest = np.finfo(np.float32).max
    found = rewritten(fold_affine, "h = Gemm (x, w) y = Add (h, k)", "float[1,1] x", computes=False,
                      constants={"w": np.full((1, 2), largest), "k": np.float32([1, 2])})  # fmt: skip
    assert ops(found) == ["Gemm"]


def test_computed_steps_and_steps_of_another_domain_stay():
    assert ops(behind("Conv", "y = Mul (h, z)", {}, inputs="X, float[6,1,1] z")) == ["Conv", "Mul"]
    result = "float[1,6,3,5] y"
    assert ops(behind("Conv", "y = mine.Neg (h)", {}, result, computes=False)) == ["Conv", "Neg"]
    assert ops(behind("Conv", "y = Neg (h)", {}, "y, h")) == ["Conv", "Neg"]
    assert ops(behind("Conv", "a = Neg (h) y = Add (a, h)", {})) == ["Conv", "Neg", "Add"]


@pytest.mark.parametrize(
    ("body", "inputs", "constants"),
    [
        ("h = Gemm (x, z)", "float[3,8] x, float[8,6] z", {}),
        ("h = MatMul (x, w)", "double[3,8] x", {"w": np.ones((8, 6)), "k": np.float64(2)}),
        ("h = MatMul (x, w)", "float[2,3,8] x", {"w": array(2, 8, 6)}),
        ("h = MatMul (x, w)", "float[3,8] x", {"w": array(8)}),
        ("h = MatMul (x, w)", "float[8] x", {"w": array(8)}),
        ("h = Gemm (x, w, c)", "float[3,8] x", {"w": array(8, 6), "c": array(3, 6)}),
        ("h = Gemm (x, w, c)", "float[3,8] x", {"w": array(8, 6), "c": array(3, 1)}),
        ("h = Gemm (x, w, z)", "float[3,8] x, float[6] z", {"w": array(8, 6)}),
        ("h = MatMul (v, w)", "float[3,6] x", {"v": array(3, 8), "w": array(8, 6)}),
    ],
    ids=["weights", "double", "a stack", "a vector", "two vectors", "rows", "a column", "bias", "constants"],
)
def test_layers_that_stay(body, inputs, constants):
    kind = body.split()[2]
    output = "double[3,6] y" if "double" in inputs else "y"
    found = ops(
        rewritten(
            fold_affine, body + " y = Mul (h, k)", inputs, output, rtol=1e-4, constants={"k": np.float32(2)} | constants
        )
    )
    assert found == [kind, "Mul"]


def test_layers_of_another_domain_stay():
    found = rewritten(fold_affine, "h = mine.MatMul (x, w) y = Neg (h)", "float[3,8] x", "float[3,6] y", computes=False,
                      constants={"w": array(8, 6)})  # fmt: skip
    assert ops(found) == ["MatMul", "Neg"]


def test_an_empty_bias():
    found = rewritten(fold_affine, "h = Gemm (x, w, ) y = Neg (h)", "float[3,8] x", constants={"w": array(8, 6)})
    assert ops(found) == ["Gemm"]


# --- in front ---------------------------------------------------------------------------------------------------

FRONT = {"Conv": "g = Conv (x, u)", "Gemm": "g = Gemm (x, u)", "MatMul": "g = MatMul (x, u)"}
FIRST = {"Conv": array(4, 4, 1, 1), "Gemm": array(8, 8), "MatMul": array(8, 8)}


def in_front(layer, steps, constants, outputs="y", front=None, **options):
    """A layer, Relu, the steps from r to x2, and a layer of x2."""
    body, arrays, shape, _ = LAYERS[layer]
    kind = layer.split()[0]
    kind = "Conv" if kind == "ConvTranspose" else kind
    inputs = options.pop("inputs", "") + f"float{list(shape)} x"
    u = FIRST[kind] if len(shape) != 3 or kind != "Conv" else array(4, 4, 1)
    u = array(3, 3) if layer == "Gemm of transA" else u
    start = f"{FRONT[kind]} r = Relu (g)" if front is None else front
    text = f"{start} {steps} y = {options.pop('body', body).replace('(x', '(x2')}"
    return ops(
        rewritten(fold_affine, text, inputs, outputs, rtol=1e-3, constants=arrays | constants | {"u": u}, **options)
    )


FOLDS = [
    name for name in LAYERS if not name.startswith("ConvTranspose") and name not in ("Conv of groups", "Gemm of transA")
]


@pytest.mark.parametrize("steps", [
    "x2 = Mul (r, t)", "x2 = Add (r, k)", "x2 = Sub (k, r)", "a = Mul (r, t) x2 = Add (a, k)",
    "a = Add (k, r) x2 = Div (a, t)",
    "a = Sub (r, k) d = Neg (a) x2 = Mul (same, d)",
])  # fmt: skip
@pytest.mark.parametrize("layer", FOLDS)
def test_steps_in_front(layer, steps):
    """One factor for all channels, also where it is given for each, and an offset for each."""
    kind, after = layer.split()[0], LAYERS[layer][3]
    n = 4 if kind == "Conv" else 8
    shape = (n, *[1] * after)
    found = in_front(layer, steps, {"t": np.float32(-1.5), "k": array(*shape), "same": np.full(shape, 0.5, np.float32)})
    both = "MatMul" if layer in ("MatMul of a batch", "MatMul of rows") else "Gemm" if kind == "MatMul" else kind
    tail = [both] + ["Add"] * (both == "MatMul" and steps != "x2 = Mul (r, t)")
    assert found == [{"MatMul": "MatMul"}.get(kind, kind), "Relu", *tail]


@pytest.mark.parametrize(
    ("layer", "steps", "constants"),
    [
        ("Conv", "x2 = Mul (r, k)", {"k": array(4, 1, 1)}),  # another factor for each channel
        ("Gemm", "x2 = Mul (r, k)", {"k": array(8)}),
        ("Conv of groups", "x2 = Add (r, k)", {"k": array(4, 1, 1)}),  # the padding is not moved
        ("Gemm of transA", "x2 = Mul (r, t)", {}),
        ("ConvTranspose", "x2 = Mul (r, t)", {}),
        ("Gemm", "x2 = Mul (r, k)", {"k": array(3, 1)}),
        ("Conv", "x2 = Relu (r)", {}),
        ("Conv", "x2 = Div (t, r)", {}),
        ("Gemm", "x2 = Mul (r, big)", {"big": np.float32(3e38), "w": 9 * array(8, 6)}),
    ],
)
def test_steps_in_front_that_stay(layer, steps, constants):
    found = in_front(
        layer, steps, {"t": np.float32(-1.5)} | constants, computes="big" not in constants and "Div" not in steps
    )
    assert found[-2] == steps.split()[2] and found[-1] == layer.split()[0]


@pytest.mark.parametrize(("attributes", "folds"), [
    ("", True), ("pads = [0, 0, 0, 0]", True), ("pads = [0, 0, 0, 1]", False), ('auto_pad = "VALID"', True),
    ('auto_pad = "SAME_UPPER"', False), ('auto_pad = "NOTSET"', True),
    ('auto_pad = "NOTSET", pads = [1, 0, 0, 0]', False),
])  # fmt: skip
def test_offsets_do_not_reach_the_padding(attributes, folds):
    body = f"Conv {'<' + attributes + '>' if attributes else ''} (x, w)"
    assert (len(in_front("Conv", "x2 = Add (r, k)", {"k": array(4, 1, 1)}, body=body)) == 3) is folds
    assert len(in_front("Conv", "x2 = Mul (r, t)", {"t": np.float32(2)}, body=body)) == 3


def test_offsets_of_groups():
    body = "Conv <group = 2> (x, w)"
    assert in_front("Conv of groups", "x2 = Add (r, k)", {"k": array(4, 1, 1)}, body=body) == ["Conv", "Relu", "Conv"]


def test_values_in_front_that_are_read_elsewhere_stay():
    assert in_front("Gemm", "x2 = Neg (r)", {}, "y, x2") == ["Gemm", "Relu", "Neg", "Gemm"]
    assert in_front("Gemm", "x2 = Neg (r) z = Relu (x2)", {}, "y, z") == ["Gemm", "Relu", "Neg", "Relu", "Gemm"]


@pytest.mark.parametrize("front", ["r = Identity (x)", "r = Relu (x)", "a = Relu (x) b = Mul (a, t) r = Tanh (b)"])
def test_functions_of_a_model_input_stay(front):
    found = in_front("Gemm", "x2 = Mul (r, t)", {"t": np.float32(2)}, front=front)
    assert found[-2:] == ["Mul", "Gemm"]


def test_functions_of_two_inputs_are_the_device_s():
    found = in_front("Gemm", "x2 = Mul (r, t)", {"t": np.float32(2)}, front="r = Add (z, x)", inputs="float[3,8] z, ")
    assert found == ["Add", "Gemm"]


def test_a_step_that_repeats_its_input_stays():
    found = in_front("Gemm", "b = ReduceMean <axes = [0]> (r) x2 = Mul (b, k)", {"k": np.full((3, 8), 2, np.float32)})
    assert found[-2:] == ["Mul", "Gemm"]
