"""Any value of a model in ONNX Runtime, with weights that are handed over."""

import numpy as np
import onnx_ir as ir
from small_graphs import model

from vlac.model.carried import set_carried, set_repeat
from vlac.model.onnx_runtime import OnnxSession
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


def test_what_no_round_changes_is_computed_once(monkeypatch):
    """Values of all rounds are those of a plain run; the part in front runs once for a sample, again for the next."""
    w = np.random.default_rng(0).integers(-3, 4, (40, 40)).astype(np.float32)
    body = "c = MatMul(seen, w) d = Relu(c) a = Add(x, d) y = Mul(a, half)"
    plain, repeated = (
        model(body, "float[1,40] x, float[1,40] seen", constants={"w": w, "half": np.float32(0.5)}) for _ in range(2)
    )
    set_carried(repeated, {"x": "y"})
    set_repeat(repeated, 3, None)
    names = ["y", "d", "x", "seen", "c", "d", "y"]
    session, reference = FloatSession(repeated, names), FloatSession(plain, names)
    runs, run = [], OnnxSession.run

    def counted(self, *given):
        runs.append(self)
        return run(self, *given)

    monkeypatch.setattr(OnnxSession, "run", counted)
    rng = np.random.default_rng(1)
    for _ in range(2):
        seen, x = (rng.integers(-9, 10, (1, 40)).astype(np.float32) for _ in range(2))
        for number in range(3):
            runs.clear()
            found = session.run({"x": x, "seen": seen})
            assert len(runs) == (2 if number == 0 else 1), "in front, and the round"
            wanted = reference.run({"x": x, "seen": seen})
            assert all(map(np.array_equal, found, wanted))
            x = found[0]


def test_transposed_weights_are_read_as_they_lie(monkeypatch):
    """Products read a transposed view the other way round; what cannot gets one copy, not one in each run."""
    rng = np.random.default_rng(0)
    w, other, turned, read, alone = (rng.integers(-9, 10, (40, 40)).astype(np.float32).T for _ in range(5))
    body = """
        a = MatMul(x, w) b = Gemm(one, other) c = Gemm<transB = 1>(one, turned) d = Add(read, one) e = MatMul(read, one)
        f = MatMul(row, alone)
    """
    constants = {"w": w, "other": other, "turned": turned, "read": read, "alone": alone}
    source = model(body, "float[2,3,40] x, float[40,40] one, float[40] row", "f", constants=constants)
    for name, array in constants.items():
        source.graph.initializers[name].const_value = ir.Tensor(array)
    feeds = {n: rng.integers(-9, 10, s).astype(np.float32) for n, s in (("x", (2, 3, 40)), ("one", (40, 40)))}
    feeds["row"] = np.arange(40, dtype=np.float32)
    given, run = [], OnnxSession.run

    def watched(self, outputs, fed):
        given.append(fed)
        return run(self, outputs, fed)

    monkeypatch.setattr(OnnxSession, "run", watched)
    found = FloatSession(source, ["a", "b", "c", "d", "e", "f"]).run(feeds)
    x, one = feeds["x"], feeds["one"]
    wanted = [x @ w, one @ other, one @ turned.T, read + one, read @ one, feeds["row"] @ alone]
    assert all(map(np.array_equal, found, wanted))
    weights = {name: array for name, array in given[0].items() if name in constants}
    assert weights.keys() == constants.keys() and all(array.flags.c_contiguous for array in weights.values())
    copied = {name for name, array in weights.items() if not np.shares_memory(array, constants[name])}
    assert copied == {"read", "alone"}
