"""Mixtures whose experts are chosen for each token: gates on the device, and all experts as one wide network.

Gates are TopK, Softmax and ScatterElements.
"""

import numpy as np
import onnx
import onnxruntime
import pytest
from mixtures import EXPERTS, D, only_gates, token_mixture
from on_device import drawn, run, snr

import vlarun
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.device.gemm import GemmOp
from vlac.errors import UnsupportedError


def compiled(model, config="tiny"):
    rng = np.random.default_rng(1)
    calibration = [drawn(model, rng) for _ in range(16)]
    return compile_file(model, load(config), CompileOptions(calibration=calibration, check=True))


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("among", [True, False])
@pytest.mark.parametrize(("experts", "k"), [(4, 2), (8, 1), (5, 5), (20, 3)])
def test_gates_beside_onnx_runtime(experts, k, among, config):
    """Of the same quantized logits, so that ties are ties: which experts is exact, the shares within one step."""
    state = compiled(only_gates(experts, k, among=among), config)
    session = onnxruntime.InferenceSession(state.quantized.qdq.SerializeToString())
    step, rng = state.program.outputs[0].scale, np.random.default_rng(2)
    for number in range(6):
        x = (0.2 + number) * rng.standard_normal((1, 9, D)).astype(np.float32)
        if number == 5:
            x[..., 1:] = x[..., :1]  # all equal: the first k
        (wanted,), (found,) = session.run(None, {"x": x}), vlarun.Session(state.program).run({"x": x}).values()
        assert np.abs(wanted - found).max() <= 1.01 * step
        clear = wanted > 2 * step
        assert (found[clear] > 0).all()
        assert (found[wanted == 0] == 0).all()


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("how", [{}, {"gated": True}, {"k": 1}, {"among": False, "k": 3}], ids=str)
def test_a_mixture_of_tokens(how, config):
    """Tokens of which no other logit is nearly as large; else a step of the norm may decide otherwise."""
    found = run(token_mixture(**how), config)
    (wanted,), (given,) = found.wanted.values(), found.outputs.values()
    each = [snr(a, b) for a, b in zip(wanted[0], given[0], strict=True)]
    assert sorted(each)[len(each) // 4] > 30, each
    products = [op for op in found.state.graph.ops if isinstance(op, GemmOp)]
    assert len(products) == 5  # router, all experts' layers, gates for all channels, biases of the second layer


@pytest.mark.slow
@pytest.mark.parametrize("gated", [False, True])
def test_in_bands(gated):
    """What does not fit on `tiny` is computed some rows at a time, and is what it is where it fits."""
    model, rng = token_mixture(401, gated=gated), np.random.default_rng(3)
    options = CompileOptions(calibration=[drawn(model, rng) for _ in range(2)], check=True)
    small, large = (compile_file(model, load(config), options) for config in ("tiny", "u50"))
    assert any("rows" in t.label for t in small.graph.tensors)
    inputs = drawn(model, rng)
    results = [vlarun.Session(s.program, backend="sim").run(inputs) for s in (small, large)]
    assert all(np.array_equal(results[0][name], found) for name, found in results[1].items())


def test_what_is_refused():
    model = only_gates(4, 2)
    scatter = model.graph.node[-1]
    topk = next(n for n in model.graph.node if n.op_type == "TopK")
    del model.graph.node[list(model.graph.node).index(scatter) :]
    model.graph.node.append(onnx.helper.make_node("Relu", [topk.output[0]], [scatter.output[0]]))
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 2
    with pytest.raises(UnsupportedError, match=r"TopK .*must choose the experts of a mixture.*--allow-host"):
        compiled(model)


def test_few_experts_are_like_float():
    """Over some inputs together, whatever near ties decide."""
    model, rng = token_mixture(), np.random.default_rng(9)
    state = compiled(model)
    reference, session = Reference(model), vlarun.Session(state.program)
    pairs = []
    for _ in range(16):
        inputs = drawn(model, rng)
        pairs.append((*reference.run(inputs).values(), *session.run(inputs).values()))
    wanted, found = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    assert snr(wanted, found) > 30
    assert EXPERTS == 4
