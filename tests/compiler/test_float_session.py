"""Any value of a model in ONNX Runtime, with weights that are handed over."""

import numpy as np
from small_graphs import model

from vlac.quantize.float_session import FloatSession


def test_values_are_given_in_the_order_asked_for():
    w = np.random.default_rng(0).integers(-9, 10, (40, 40)).astype(np.float32)  # more than a small constant
    body = "a = MatMul(x, w) s = Add(a, one) y = Reshape(s, shape)"
    constants = {"w": w, "one": np.float32(1), "shape": np.int64([4, 10])}
    source = model(body, "float[1,40] x, float[1] unused", constants=constants)
    x = np.arange(40, dtype=np.float32)[None]
    session = FloatSession(source, ["y", "x", "a"])
    for factor in (1, 2):
        y, given, a = session.run({"x": factor * x, "unused": np.zeros(1, np.float32), "unknown": x})
        assert np.array_equal(given, factor * x) and np.array_equal(a, factor * x @ w)
        assert np.array_equal(y, (factor * x @ w + 1).reshape(4, 10))
    assert {v.name for v in source.graph.inputs} == {"x", "unused"}  # a copy was changed
    assert source.graph.initializers.keys() == constants.keys()
    assert [v.name for v in source.graph.outputs] == ["y"]
