"""The oracle: what `--verify` and every compile compare, and that they find what is wrong."""

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
from test_faults_quantizer import Net, conv, normals

import vlac.pipeline
import vlarun
from vla_toolchain.verify import exact_reference
from vla_toolchain.verify.loss import output_loss, parts_of
from vla_toolchain.verify.qonnx import expanded
from vla_toolchain.verify.reference import Reference, user_model
from vla_toolchain.verify.source import check_rewrite
from vla_toolchain.vlac_cli import main
from vlac.quantize.held_out import split

exact = pytest.mark.skipif(
    not exact_reference(), reason="ONNX Runtime's int8 convolution is exact only on CPUs with VNNI"
)


def compile_file(model, tmp_path, *options):
    onnx.save(model, tmp_path / "m.onnx")
    return main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "p.bin"), *map(str, options)])


def verified(model, tmp_path, capsys, *options):
    """What `--verify` prints."""
    code = compile_file(model, tmp_path, "--verify", *options)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    table = captured.out.split(str(tmp_path))[0]  # up to what a compile prints anyway
    assert max(map(len, table.splitlines())) <= 80, table
    return captured.out


# --- rewrites that are broken on purpose ---------------------------------------------------------------------


def batch_norm(g, x):
    parameters = (g.constant(np.abs(g.weight(20, 1).reshape(-1)) + 0.5) for _ in range(4))
    return g.node("BatchNormalization", [g.node("Relu", [x]), *parameters], 20)


def breaking(monkeypatch, step, change):
    """Let a step of the pipeline change every constant of at least 20 elements behind its work."""
    right = getattr(vlac.pipeline, step)

    def broken(model):
        made = right(model)
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


# --- parts of an output --------------------------------------------------------------------------------------


def test_parts_of_an_axis_whose_values_differ_in_size():
    rng = np.random.default_rng(0)
    sizes = np.repeat([300.0, 1.0, 20.0], [4, 10, 6])
    values = rng.standard_normal((50, 20)) * sizes
    assert parts_of((values**2).sum(axis=0), 50) == [(0, 3), (4, 13), (14, 19)]
    alike = rng.standard_normal((4, 1000)) * 3
    assert parts_of((alike**2).sum(axis=0), 4) == [(0, 999)]
    assert parts_of(np.zeros(5), 4) == [(0, 4)]


def test_a_part_that_is_lost_is_named():
    rng = np.random.default_rng(1)
    wanted = [np.concatenate([rng.uniform(0, 400, (1, 4, 30)), rng.random((1, 6, 30))], axis=1) for _ in range(3)]
    found = [np.rint(w / 2) * 2 for w in wanted]
    loss = output_loss("y", [w.astype(np.float32) for w in wanted], found)
    assert [(p.axis, p.first, p.last) for p in loss.parts] == [(1, 4, 9)] and loss.snr > 40
    assert re.fullmatch(r"output 'y', channels 4\.\.9: -?\d\.\d dB \(whole 4\d\.\d dB\)", loss.warnings[0])
    turned = output_loss("y", [w.swapaxes(1, 2).astype(np.float32) for w in wanted], [f.swapaxes(1, 2) for f in found])
    assert [(p.axis, p.first, p.last) for p in turned.parts] == [(2, 4, 9)]
    assert not output_loss("y", [w.astype(np.float32) for w in wanted], [w + 1e-4 for w in wanted]).parts


def test_silent_channels_are_named_only_where_they_are_loud():
    wanted = [np.concatenate([np.random.default_rng(0).standard_normal((1, 8, 40)), np.zeros((1, 4, 40))], axis=1)]
    quiet, loud = wanted[0].copy(), wanted[0].copy()
    for array, size in ((quiet, 1e-4), (loud, 0.5)):
        array += np.random.default_rng(1).standard_normal(array.shape) * 0.01
        array[:, 8:] = size
    wanted = [wanted[0].astype(np.float32)]
    assert not output_loss("y", wanted, [quiet]).parts
    assert [(p.first, p.last) for p in output_loss("y", wanted, [loud]).parts] == [(8, 11)]


@pytest.mark.parametrize(("shape", "axis", "size"), [((1, 1, 60, 20), 2, 0.01), ((1, 60, 20), 1, 1e-6)])
def test_rows_of_a_map_that_is_almost_nothing_there_are_not_named(shape, axis, size):
    """A Sigmoid far from what it finds; a row of an image is no part of it, however quiet."""
    rng = np.random.default_rng(0)
    values = rng.random(shape)
    rows = [slice(None)] * len(shape)
    rows[axis] = slice(20, 60)
    values[tuple(rows)] *= size
    found = np.rint(values * 255) / 255
    assert not output_loss("map", [values.astype(np.float32)], [found]).parts
    values[tuple(rows)] *= 0.01 / size
    loss = output_loss("map", [values.astype(np.float32)], [np.rint(values * 255) / 255])
    assert bool(loss.parts) == (len(shape) == 3)


def test_integers_are_counted():
    wanted, found = [np.arange(10)], [np.arange(10) + (np.arange(10) < 3)]
    loss = output_loss("index", wanted, found)
    assert str(loss) == "index 70.0 % equal" and loss.warnings == ["output 'index': 70.0 % equal"]
    assert not output_loss("index", wanted, wanted).warnings


# --- what every compile prints -------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "held"), [(1, []), (4, []), (5, [4]), (9, [4]), (10, [4, 9]), (23, [4, 9, 14, 19])])
def test_a_fifth_is_held_out(count, held):
    samples = [{"x": np.float32(i)} for i in range(count)]
    used, out = split(samples, "data.npz")
    assert [int(s["x"]) for s in out] == held
    assert [int(s["x"]) for s in used] == [i for i in range(count) if i not in held]
    assert split(samples, "random:23") == (samples, []) and split(samples, "random") == (samples, [])


def small():
    net = Net()
    conv(net, 0, "y")
    return net.model("y")


def saved(tmp_path, count):
    np.savez(tmp_path / "calib.npz", **normals(count, x=(1, 8, 10, 10)))
    return tmp_path / "calib.npz"


def line_of(out):
    lines = out.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("SNR to the float model")]
    assert max(map(len, lines[at:])) <= 80
    return " ".join(line.strip() for line in lines[at:])


def test_held_out_samples_are_measured_as_if_unseen(tmp_path, capsys):
    """The fifth of five samples is far larger than the others: the scales hold it, the SNR is that without it."""
    data = normals(5, x=(1, 8, 10, 10))
    data["x"][4] *= 100
    np.savez(tmp_path / "calib.npz", **data)
    assert compile_file(small(), tmp_path, "--calib", tmp_path / "calib.npz") == 0
    captured = capsys.readouterr()
    assert "on 1 sample held out from calibration: y " in line_of(captured.out)
    assert re.search(r"^warning: output 'y': -?\d\.\d dB$", captured.err, re.M)
    assert vlarun.Session(tmp_path / "p.bin").program.inputs[0].scale > 100 / 128


def test_the_snr_is_that_of_the_held_out_samples(tmp_path, capsys):
    """Computed here once more: with programs made of the other eight samples, and of all ten; the worse one counts."""
    model, calib = small(), saved(tmp_path, 10)
    held, samples = [4, 9], np.load(calib)["x"]
    np.savez(tmp_path / "others.npz", x=np.delete(samples, held, axis=0))
    snrs = []
    for data in (tmp_path / "others.npz", calib):
        assert compile_file(model, tmp_path, "--calib", data) == 0
        session = vlarun.Session(tmp_path / "p.bin")
        wanted = np.concatenate([Reference(model).run({"x": x})["y"] for x in samples[held]])
        noise = np.concatenate([session.run({"x": x})["y"] for x in samples[held]]) - wanted
        snrs.append(10 * np.log10((wanted.astype(np.float64) ** 2).sum() / (noise.astype(np.float64) ** 2).sum()))
    line = line_of(capsys.readouterr().out.rpartition("p.bin:")[2])
    found = re.fullmatch(r"SNR to the float model on 2 samples held out from calibration: y (\S+) dB", line)
    assert found is not None and abs(float(found[1]) - min(snrs)) < 0.1


def test_few_samples_and_random_ones_are_said_to_be_so(tmp_path, capsys):
    assert compile_file(small(), tmp_path, "--calib", saved(tmp_path, 4)) == 0
    out = capsys.readouterr().out
    assert "on 4 samples of the calibration data itself" in line_of(out) and "guess" not in out
    assert compile_file(small(), tmp_path, "--calib", "random:3") == 0
    out = capsys.readouterr().out
    assert "of other random numbers" in line_of(out)
    assert "its scales are a guess (--calib random)" in out.splitlines()[0]


def test_a_quantized_model_has_no_float_model_to_compare_with(tmp_path, capsys):
    assert compile_file(model_with(lambda g, x: g.qdq(x)), tmp_path) == 0
    out = capsys.readouterr().out
    assert "SNR" not in out and "guess" not in out


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
    flat = g.node("LayerNormalization", [flat, g.constant(np.ones(128, np.float32))], 128)
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
