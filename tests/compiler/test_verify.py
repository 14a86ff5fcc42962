"""The oracle: what `--verify` compares, and that it finds what is wrong."""

import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graphs import GraphBuilder
from one_op import image_graph
from parity import compile_proto, random_inputs, run_both, run_parity
from qdq_graphs import QdqBuilder, model_with
from test_dialects import QonnxBuilder, qonnx_model
from verified import compile_file, line_of, small, verified

import vlac.pipeline
import vlarun
from vla_toolchain.verify import exact_reference
from vla_toolchain.verify.qonnx import expanded
from vla_toolchain.verify.reference import Reference, user_model
from vla_toolchain.verify.source import check_rewrite

exact = pytest.mark.skipif(
    not exact_reference(), reason="ONNX Runtime's int8 convolution is exact only on CPUs with VNNI"
)


# --- rewrites that are broken on purpose ---------------------------------------------------------------------


def batch_norm(g, x):
    parameters = (g.constant(np.abs(g.weight(20, 1).reshape(-1)) + 0.5) for _ in range(4))
    return g.node("BatchNormalization", [g.node("Relu", [x]), *parameters], 20)


def breaking(monkeypatch, step, change):
    """Let a step of the pipeline change every constant of at least 20 elements behind its work."""
    right = getattr(vlac.pipeline, step)

    def broken(model, **options):
        made = right(model, **options)
        for value in made.graph.initializers.values():
            array = value.const_value.numpy()
            if array.size >= 20:
                value.const_value = ir.tensor(change(array), name=value.name)
        return made

    monkeypatch.setattr(vlac.pipeline, step, broken)


def test_a_wrong_factor_of_a_batch_norm(tmp_path, capsys, monkeypatch):
    """D3: a rewrite multiplies by three, and so does the float model that was quantized."""
    model = image_graph(batch_norm)
    run_both(model)
    breaking(monkeypatch, "rewrite_float", lambda array: array * array.dtype.type(3))
    with pytest.raises(AssertionError, match="RewriteCheck"):
        run_both(model)
    assert compile_file(model, tmp_path, "--calib", "random:2", "--verify") == 1
    error = capsys.readouterr().err
    assert "the rewritten model is not the given one" in error
    (output,) = (o.name for o in model.graph.output)
    assert f"output '{output}' is off by" in error and "first seen at 'conv0' (Conv)" in error
    assert not (tmp_path / "p.bin").exists()


def lose_half(array):
    """Zero in the second half of the weights, as if it had been forgotten."""
    kept = array.reshape(-1).copy()
    kept[kept.size // 2 :] = 0
    return kept.reshape(array.shape)


@exact
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_lost_half_of_weights(tmp_path, capsys, monkeypatch, dtype):
    """D3: a dialect drops half of the weights, and so does the quantized model that was compiled."""

    def body(g, x):
        q = g.rng.integers(0, 100, (20, 12, 3, 3)).astype(dtype)
        w = [g.constant(q), g.constant(np.float32(0.01)), g.constant(dtype(50))]
        return g.qdq(g.node("Conv", [g.qdq(x), g.node("DequantizeLinear", w)], 20), 0.1037)

    model = model_with(body)
    run_parity(model, calib=None)
    breaking(monkeypatch, "canonical", lose_half)
    with pytest.raises(AssertionError, match="NodeCheck"):
        run_parity(model, calib=None)
    assert compile_file(model, tmp_path, "--verify") == 1
    assert "differs from ONNX Runtime by more than 1 or in too many values: 'conv" in capsys.readouterr().err


def test_float_noise_and_ties_are_no_difference():
    """A Floor of values at its steps, an ArgMax of equal values: judged where the user's own model is sure."""
    g = GraphBuilder("steps")
    x = g.input("x", (1, 64))
    part = g.node("Mul", [x, g.constant(np.float32(1 / 61))])
    y = g.node("Floor", [part], 64)
    model = g.model(y, g.node("ArgMax", [part], axis=1, keepdims=0))
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[0].op_type = "Div"
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float32(61), other.graph.initializer[0].name))
    inputs = {"x": np.arange(64, dtype=np.float32).reshape(1, 64) * 61}
    before, after = Reference(model).run(inputs), Reference(other).run(inputs)
    assert any((before[name] != after[name]).any() for name in before)  # they do differ
    assert all(c.ok for c in check_rewrite(model, other, inputs))
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float32(70), other.graph.initializer[0].name))
    inputs["x"] += 30  # off the steps
    assert [c.ok for c in check_rewrite(model, other, inputs)] == [False, True]


def test_no_number_beside_a_number_is_a_difference():
    g = GraphBuilder("log")
    model = g.model(g.node("Log", [g.input("x", (1, 4))], 4))
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[0].op_type = "Exp"
    inputs = {"x": np.array([[-1, -1, -1, -1]], np.float32)}
    assert all(c.ok for c in check_rewrite(model, model, inputs))
    (check,) = check_rewrite(model, other, inputs)
    assert check.wrong == 4


# --- QONNX by its definition ---------------------------------------------------------------------------------


def quant(x, scale, zero, bits, signed, narrow, rounding):
    """quant_op.md of QONNX, in numpy."""
    low = (-(2 ** (bits - 1)) + narrow) if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    return (rounding(np.clip(x / scale + zero, low, high)) - zero) * scale


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize(("mode", "rounding"), [("ROUND", np.rint), ("FLOOR", np.floor), ("CEIL", np.ceil)])
def test_quant_spelled_out(bits, signed, narrow, mode, rounding):
    g = QonnxBuilder("quant")
    attributes = {"signed": signed, "narrow": narrow, "rounding_mode": mode}
    y = g.quant(g.input("x", (1, 200)), 0.25, zero=3.0, bits=bits, **attributes)
    x = np.random.default_rng(0).uniform(-40, 40, (1, 200)).astype(np.float32)
    (found,) = Reference(expanded(g.qonnx(y, 1, 200))).run({"x": x}).values()
    assert np.allclose(found, quant(x, 0.25, 3, bits, signed, narrow, rounding))


# --- every kind of model -------------------------------------------------------------------------------------


@exact
def test_verify_of_a_quantized_model(tmp_path, capsys):
    def body(g, x):
        y = g.qdq(g.node("Conv", [g.qdq(x), g.weights((20, 12, 3, 3))], 20), 0.2)
        return g.qdq(g.node("Conv", [y, g.weights((8, 20, 1, 1))], 8), 0.9)

    model = model_with(body)
    out = verified(model, tmp_path, capsys)
    (output,) = (o.name for o in model.graph.output)
    assert "in the model as it was given" in out
    assert re.search(rf"^  {output}: at most [01] LSB, (99\.9|100)\S+ % equal$", out, re.M)


@exact
@pytest.mark.parametrize("bits", [8, 4])
def test_verify_of_qonnx(tmp_path, capsys, bits):
    out = verified(qonnx_model(bits=bits), tmp_path, capsys)
    assert re.search(r"[1-9]\d* of them in the model as it was given", out)


@exact
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_verify_of_an_integer_input(tmp_path, capsys, dtype):
    g = QdqBuilder("integers")
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    g.inputs.append(onnx.helper.make_tensor_value_info("x", kind, (1, 12, 9, 9)))
    zero = np.array(128 if dtype is np.uint8 else 0, dtype)
    x = g.node("DequantizeLinear", ["x", g.constant(np.float32(0.02)), g.constant(zero)], 12)
    y = g.qdq(g.node("Conv", [x, g.weights((20, 12, 3, 3))], 20), 0.4)
    out = verified(g.model(y), tmp_path, capsys)
    assert "at most 0 LSB" in out or "at most 1 LSB" in out


@exact
def test_verify_of_several_outputs_and_functions_of_the_host(tmp_path, capsys):
    g = GraphBuilder("heads")
    x = g.conv(g.input("x", (1, 3, 8, 8)), 8, 3, 2)
    flat = g.node("Flatten", [x], 128)
    y = g.gemm(flat, 128, 6, relu=False)
    model = g.model(y, g.node("Softmax", [y], axis=1), g.node("ArgMax", [y], axis=1), x)
    out = verified(model, tmp_path, capsys, "--calib", "random:4")
    names = [o.name for o in model.graph.output]
    for name in names:
        assert re.search(rf"^  {name}: \d\.\de[-+]\d+ of its largest value$", out, re.M)
    assert "% equal" in line_of(out)


@exact
def test_verify_of_outputs_called_like_the_compilers_own(tmp_path, capsys):
    """`keep:`, and what the quantizer calls the integers of another tensor."""
    g = GraphBuilder("names")
    g.conv(g.input("x", (1, 3, 8, 8)), 8, 3, 2)
    y = g.gemm(g.node("Flatten", [g.nodes[-1].output[0]], 128), 128, 6, relu=False)
    model = g.model(y)
    inner = model.graph.node[0].output[0]
    for name in (f"keep:{inner}", f"{inner}_QuantizeLinear_Output", f"{inner}_quantized"):
        model.graph.node[-1].output[0] = model.graph.output[0].name = name
        verified(model, tmp_path, capsys, "--calib", "random:2")
        program = vlarun.Session(tmp_path / "p.bin").program
        assert [t.name for t in program.outputs] == [name]


@exact
def test_two_copies_of_one_tensor_are_kept_under_two_names():
    """A tensor that is copied for two readers."""
    g = GraphBuilder("copies")
    x = g.conv(g.input("x", (1, 8, 9, 9)), 8)
    y = g.node("Concat", [x, g.conv(x, 8)], 16, axis=1)
    z = g.node("Concat", [x, g.conv(x, 16)], 24, axis=1)
    kept = compile_proto(g.model(g.conv(y, 8), g.conv(z, 8)), debug_outputs=True)
    names = [o.name for o in kept.graph.outputs]
    assert len(set(names)) == len(names) and sum(not o.debug for o in kept.graph.outputs) == 2
    run_both(g.model(g.conv(y, 8), g.conv(z, 8)))


@exact
@pytest.mark.parametrize(("scale", "out"), [(1e-30, 1e-30), (1e18, 1e18), (1e3, 1e-3), (1e-3, 1e3), (0.01, 1e-7)])
def test_verify_of_scales_far_from_one_and_from_each_other(tmp_path, capsys, scale, out):
    """ONNX Runtime's QLinearGlobalAveragePool refuses some; the comparison is made node by node in float then."""
    found = verified(
        model_with(lambda g, x: g.qdq(g.node("GlobalAveragePool", [g.qdq(x, scale)], 12), out)), tmp_path, capsys
    )
    assert "not judged" not in found and "from end to end" in found


@exact
def test_verify_of_a_program_with_host_parts(tmp_path, capsys):
    g = GraphBuilder("host")
    x = g.conv(g.input("x", (1, 3, 8, 8)), 8, 3, 2)
    flat = g.node("Flatten", [x], 128)
    flat = g.node("LpNormalization", [flat], 128)
    out = verified(g.model(g.gemm(flat, 128, 5, relu=False)), tmp_path, capsys, "--calib", "random:4", "--allow-host")
    assert "the rewritten float model beside the given one" in out and "partitions" in out


def test_verify_reads_the_file_again(tmp_path):
    """The reference is the file, not what import made of it."""
    onnx.save(small(), tmp_path / "m.onnx")
    assert user_model(tmp_path / "m.onnx").SerializeToString() == small().SerializeToString()


@exact
def test_a_program_that_loses_an_output_is_refused(tmp_path, capsys, monkeypatch):
    right = vlarun.Session.run

    def without(self, *args, **kwargs):
        found = right(self, *args, **kwargs)
        return found if kwargs.get("raw") else {}

    monkeypatch.setattr(vlarun.Session, "run", without)
    assert compile_file(small(), tmp_path, "--calib", "random:1", "--verify") == 1
    assert "lacks outputs of the model: y" in capsys.readouterr().err


def test_random_inputs_of_a_program_have_its_types():
    program = compile_proto(small()).program
    assert random_inputs(program)["x"].dtype == np.float32
