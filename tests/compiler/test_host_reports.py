"""What --allow-host prints and refuses: causes, totals, too many parts, integers that pass between device and host."""

import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest
from host_models import (
    detector,
    learned_queries,
    loop_with_captures,
    non_zero_tail,
    truth_values,
)
from host_nodes import N, Numbers, constant, model, value
from host_reports import shared_encoder
from onnx import TensorProto as T
from refusals import compile_refused

import vlarun
from vla_isa import package
from vla_isa.errors import ProgramError
from vla_isa.hardware import load
from vla_isa.package import MAX_PARTITIONS, HostPartition
from vla_toolchain.vlac_cli import main
from vla_toolchain.vlarun_cli import main as run_main
from vlac import CompileOptions, compile_file, passes
from vlac.errors import ModelError
from vlac.partition.sample import sample_values
from vlac.partition.table import partition_costs
from vlarun.errors import InputError


def compiled(made, folder, *extra, calib=True):
    """The exit code of `vlac compile --allow-host` on a model and its inputs."""
    onnx.save(made[0], folder / "m.onnx")
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in made[0].graph.input}
    np.savez(folder / "in.npz", **{n: a.reshape(-1, *shapes[n]) for n, a in made[1].items()})
    np.savez(folder / "one.npz", **{n: a[0].reshape(shapes[n]) for n, a in made[1].items()})
    data = ["--calib", folder / "in.npz"] if calib else []
    arguments = ["compile", folder / "m.onnx", "-o", folder / "p.bin", "--allow-host", *data, *extra]
    return main([str(a) for a in arguments])


# --- one reason per cause -----------------------------------------------------------------------------------


def test_a_refusal_says_each_cause_once(tmp_path, capsys):
    made = shared_encoder(Numbers())
    onnx.save(made[0], tmp_path / "m.onnx")
    compile_refused(capsys, tmp_path, tmp_path / "m.onnx", "4 nodes cannot run", "LpNormalization x 2 ('")
    main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "p.bin"), "--calib", "random:1"])
    lines = capsys.readouterr().err.splitlines()
    assert [re.match(r"  (\w+) x \d", line)[1] for line in lines[1:-1]] == ["MatMul", "LpNormalization"]
    assert not any("near:" in line for line in lines)


def test_the_table_says_each_cause_once_and_has_a_total(tmp_path, capsys):
    assert compiled(shared_encoder(Numbers()), tmp_path, "--report", tmp_path / "report") == 0
    out = capsys.readouterr().out
    assert out.count("LpNormalization x 2") == 1 and out.count("the operator is not") == 1
    costs = partition_costs(package.load(tmp_path / "p.bin"))
    cycles = sum(c.cycles for c in costs)
    moved = sum(c.bytes_in + c.bytes_out for c in costs if c.kind == "device")
    pattern = r"^total +([\d,]+) cycles on the device \([\d.]+ ms\) \+ about ([\d.e-]+) ms on the host"
    total = re.search(pattern, out, re.MULTILINE)
    assert total[1] == f"{cycles:,}" and float(total[2]) > 0 and f"{moved:,} bytes to and from the device" in out
    assert "cycles on the device" in out.splitlines()[0], "one line is enough to see both"
    assert "LpNormalization x 2" in (tmp_path / "report" / "report.html").read_text()
    assert main(["info", str(tmp_path / "p.bin")]) == 0 and "\ntotal " in capsys.readouterr().out


def test_a_run_says_both_times(tmp_path, capsys):
    assert compiled(learned_queries(Numbers()), tmp_path) == 0
    arguments = [str(tmp_path / "p.bin"), "--input", str(tmp_path / "one.npz")]
    capsys.readouterr()
    assert run_main([*arguments, "--stats", str(tmp_path / "stats.json")]) == 0
    assert re.search(r"cycles by the performance model .* \+ [\d.e-]+ ms on the host", capsys.readouterr().out)
    assert run_main([*arguments, "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert stats["host_seconds"] == sum(p["wall_seconds"] for p in stats["parts"] if p["kind"] == "host") > 0


def hosted(folder):
    parts = package.load(folder / "p.bin").partitions
    return [n for p in parts if isinstance(p, HostPartition) for n in p.nodes]


def test_truth_values_go_with_what_reads_them(tmp_path, capsys):
    assert compiled(truth_values(Numbers()), tmp_path) == 0
    reasons = {n.op: n.reason for n in hosted(tmp_path)}
    assert set(reasons) == {"Greater", "Less", "Not", "And", "Where"}
    assert reasons["Not"] == "its result, bool, is read by And, which is refused."
    assert not any("quantized values" in reason for reason in reasons.values())


def test_what_is_behind_a_loop_runs_on_the_device(tmp_path, capsys):
    """What a Loop carries keeps its shape, so the layer behind it is a device partition of its own."""
    assert compiled(loop_with_captures(Numbers()), tmp_path) == 0
    kinds = [isinstance(p, HostPartition) for p in package.load(tmp_path / "p.bin").partitions]
    assert kinds == [False, True, False] and [n.op for n in hosted(tmp_path)] == ["Loop"]


# --- nothing half done --------------------------------------------------------------------------------------


def test_a_host_part_that_fails_leaves_no_program(tmp_path, capsys):
    """An index outside the table of embeddings in every sample: known before anything is written."""
    nodes = [
        N("Gemm", ["x", "w"], ["h"]),
        N("Cast", ["h"], ["i"], to=T.INT64),
        N("Gather", ["table", "i"], ["e"]),
        N("ReduceSum", ["e"], ["y"], keepdims=0),
    ]
    constants = [constant("w", np.eye(4, dtype=np.float32)), constant("table", np.ones(9, np.float32))]
    made = model(nodes, [value("x", [1, 4])], [value("y", [])], constants)
    assert compiled((made, {"x": np.full((3, 4), 1e3, np.float32)}), tmp_path, "--report", tmp_path / "report") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Gather" in error and "Traceback" not in error
    assert not (tmp_path / "p.bin").exists() and not (tmp_path / "report").exists()


def test_a_broken_host_part_is_an_error_that_names_it(tmp_path):
    onnx.save(learned_queries(Numbers())[0], tmp_path / "m.onnx")
    state = compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(calibration="random:2", allow_host=True))
    values = sample_values(state)
    number, part = next((i, p) for i, p in enumerate(state.package.partitions) if isinstance(p, HostPartition))
    assert all(c.milliseconds > 0 for c in partition_costs(state.package, values) if c.kind == "host")
    wrong = {**values, part.inputs[0]: np.zeros((2, 2, 2), np.float32)}
    with pytest.raises(ModelError, match=f"partition {number}, on the host .*cannot run it on a calibration sample"):
        partition_costs(state.package, wrong)
    state.package.partitions[number] = HostPartition(b"", part.inputs, part.outputs, part.nodes)
    with pytest.raises(ModelError, match="cannot load it"):
        partition_costs(state.package)


# --- many parts, and the same parts -------------------------------------------------------------------------


def test_more_parts_than_a_file_holds(tmp_path, capsys):
    r, nodes, last = Numbers(), [], "x"
    for i in range(40):
        nodes += [N("MatMul", [last, "w"], [f"m{i}"]), N("LpNormalization", [f"m{i}"], [f"n{i}"])]
        last = f"n{i}"
    constants = [constant("w", r.w(8, 8)), constant("g", np.ones(8, np.float32))]
    made = model(nodes, [value("x", [1, 8])], [value(last, [1, 8])], constants), {"x": r.f(4, 8)}
    assert compiled(made, tmp_path) == 0
    assert f"more partitions than the {MAX_PARTITIONS} of a file" in " ".join(capsys.readouterr().out.split())
    assert MAX_PARTITIONS - 2 <= len(package.load(tmp_path / "p.bin").partitions) <= MAX_PARTITIONS


def test_segments_that_stay_are_compiled_once(tmp_path, monkeypatch):
    """A Reshape is refused late, by the second device partition; the first is not compiled again."""
    r, ran, original = Numbers(), [], passes.run_passes
    nodes = [
        N("MatMul", ["x", "w"], ["a"]),
        N("LpNormalization", ["a"], ["b"]),
        N("MatMul", ["b", "w"], ["c"]),
        N("Reshape", ["c", "turned"], ["d"]),
        N("MatMul", ["d", "w2"], ["y"]),
    ]
    named = {"w": r.w(20, 20), "turned": np.array([1, 20, 143]), "w2": r.w(143, 8)}
    constants = [constant(k, v) for k, v in named.items()]
    onnx.save(model(nodes, [value("x", [1, 143, 20])], [value("y", [1, 20, 8])], constants), tmp_path / "m.onnx")

    def counted(each, state, *rest):
        ran.extend(p.name for p in each)
        original(each, state, *rest)

    monkeypatch.setattr("vlac.partition.compile_partitions.run_passes", counted)
    state = compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(calibration="random:1", allow_host=True))
    late = [n for p in state.package.partitions if isinstance(p, HostPartition) for n in p.nodes if n.op == "Reshape"]
    assert "moves data between pixels and channels" in late[0].reason
    assert ran.count("legalize") == 2 + 2, "both parts of the first cut, and what became of the second"
    assert ran.count("quantize") == 1 and ran.count("emit") == 3
    assert set(state.seconds) == {"import", "rewrite", "quantize", "legalize", "plan", "emit"}


def test_dumps_of_parts(tmp_path, capsys):
    extra = ["--dump-after", f"legalize={tmp_path / 'l.txt'}", "--dump-after", f"emit={tmp_path / 'e.txt'}"]
    r = Numbers()
    nodes = [N("MatMul", ["x", "w"], ["a"]), N("LpNormalization", ["a"], ["b"]), N("MatMul", ["b", "w"], ["y"])]
    made = model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], [constant("w", r.w(8, 8))]), {"x": r.f(4, 8)}
    assert compiled(made, tmp_path, *extra) == 0
    device = [p for p in package.load(tmp_path / "p.bin").partitions if not isinstance(p, HostPartition)]
    text = (tmp_path / "l.txt").read_text()
    assert len(device) > 1 and all(t.name in text for p in device for t in p.inputs)
    assert (tmp_path / "e.txt").stat().st_size > 0


# --- what passes between device and host --------------------------------------------------------------------


def quantized(nodes, inputs, outputs, r, domains=(), **more):
    """A QDQ model; `gemm` makes one of its layers, whose result is the integers `y`q."""
    integers = r.rng.integers(-100, 100, (8, 8)).astype(np.int8)
    named = {"wq": integers, "sw": np.float32(0.01), "sx": np.float32(0.03), "sy": np.float32(0.05)}
    named |= {"z": np.int8(3), "z0": np.int8(0), **more}
    return model(nodes, inputs, outputs, [constant(k, v) for k, v in named.items()], domains=domains)


def gemm(x, y):
    return [
        N("QuantizeLinear", [x, "sx", "z"], [f"{x}q"]),
        N("DequantizeLinear", [f"{x}q", "sx", "z"], [f"{x}d"]),
        N("DequantizeLinear", ["wq", "sw", "z0"], [f"{x}w"]),
        N("MatMul", [f"{x}d", f"{x}w"], [f"{y}c"]),
        N("QuantizeLinear", [f"{y}c", "sy", "z"], [f"{y}q"]),
    ]


def integers_on_the_host(r):
    """ONNX Runtime's own QLinearAdd reads the integers of two device layers."""
    add = ["aq", "sy", "z", "bq", "sy", "z", "ss", "z"]
    nodes = [
        *gemm("x", "a"),
        *gemm("u", "b"),
        N("QLinearAdd", add, ["s"], domain="com.microsoft"),
        N("DequantizeLinear", ["s", "ss", "z"], ["sd"]),
        *gemm("sd", "y"),
        N("DequantizeLinear", ["yq", "sy", "z"], ["y"]),
    ]
    inputs = [value("x", [1, 8]), value("u", [1, 8])]
    made = quantized(nodes, inputs, [value("y", [1, 8])], r, [("com.microsoft", 1)], ss=np.float32(0.08))
    return made, {"x": r.f(8, 8), "u": r.f(8, 8)}


def cast_integers(r):
    """The numbers of the integers themselves, as real ones."""
    nodes = [
        *gemm("x", "a"),
        N("Cast", ["aq"], ["f"], to=T.FLOAT),
        N("Mul", ["f", "k"], ["fk"]),
        *gemm("fk", "y"),
        N("DequantizeLinear", ["yq", "sy", "z"], ["y"]),
    ]
    outputs = [value("y", [1, 8]), value("aq", [1, 8], T.INT8)]  # integers that are read on the host and an output
    return quantized(nodes, [value("x", [1, 8])], outputs, r, k=np.float32(0.02)), {"x": r.f(8, 8)}


def reshaped_integers(r):
    nodes = [
        *gemm("x", "a"),
        N("Reshape", ["aq", "shape"], ["ar"]),
        N("DequantizeLinear", ["ar", "sy", "z"], ["ad"]),
        N("LpNormalization", ["ad"], ["n"]),
        *gemm("n", "y"),
        N("DequantizeLinear", ["yq", "sy", "z"], ["y"]),
    ]
    made = quantized(
        nodes, [value("x", [1, 2, 8])], [value("y", [2, 8])], r, shape=np.array([2, 8]), g=np.ones(8, np.float32)
    )
    return made, {"x": r.f(8, 2, 8)}


@pytest.mark.parametrize("make", [integers_on_the_host, cast_integers, reshaped_integers], ids=lambda m: m.__name__)
def test_quantized_models_give_onnx_runtimes_integers(make, tmp_path, capsys):
    made, feeds = make(Numbers())
    assert compiled((made, feeds), tmp_path, calib=False) == 0
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    reference = onnxruntime.InferenceSession(made.SerializeToString(), options)
    session = vlarun.open_session(tmp_path / "p.bin")
    shapes = {i.name: i.shape for i in reference.get_inputs()}
    for i in range(8):
        sample = {n: a[i].reshape(shapes[n]) for n, a in feeds.items()}
        outputs = session.run(sample)
        assert set(outputs) == {o.name for o in reference.get_outputs()}
        wanted, found = reference.run(["y"], sample)[0], outputs["y"]
        assert np.abs(wanted).max() > 0.5 and np.allclose(wanted, found, rtol=0, atol=1e-6)


def test_random_numbers_are_drawn_once(tmp_path, capsys):
    """h + r - r is h, whatever r is: both readers see the same numbers."""
    r = Numbers()
    nodes = [
        N("MatMul", ["x", "w"], ["h"]),
        N("RandomNormal", [], ["r"], shape=[1, 8]),
        N("Add", ["h", "r"], ["s"]),
        N("MatMul", ["r", "w"], ["rw"]),
        N("MatMul", ["s", "w"], ["sw"]),
        N("Sub", ["sw", "rw"], ["y"]),
    ]
    made = model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], [constant("w", r.w(8, 8))]), {"x": r.f(16, 8)}
    assert compiled(made, tmp_path) == 0
    weights = onnx.numpy_helper.to_array(made[0].graph.initializer[0])
    wanted = made[1]["x"] @ weights @ weights
    found = vlarun.open_session(tmp_path / "p.bin").run(made[1])["y"]
    assert 10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()) > 10, (
        "numbers drawn twice would be louder than h"
    )


# --- at run time --------------------------------------------------------------------------------------------


def test_session_names_what_opens_it(tmp_path, capsys):
    assert compiled(learned_queries(Numbers()), tmp_path) == 0
    with pytest.raises(ProgramError, match=r"vlarun\.open_session"):
        vlarun.Session(tmp_path / "p.bin")


def test_compare_with_ref_says_why_not(tmp_path, capsys):
    assert compiled(learned_queries(Numbers()), tmp_path) == 0
    arguments = ["compare", tmp_path / "p.bin", "--input", tmp_path / "one.npz", "--onnx", tmp_path / "m.onnx"]
    assert run_main([str(a) for a in (*arguments, "--backends", "sim,ref")]) == 2
    assert "backend 'ref' runs the whole ONNX model" in capsys.readouterr().err
    assert run_main([str(a) for a in (*arguments, "--backends", "sim,sim")]) in (0, 2)


@pytest.mark.parametrize("make", [detector, non_zero_tail], ids=lambda m: m.__name__)
def test_outputs_of_another_size_come_one_at_a_time(make, tmp_path, capsys):
    made = make(Numbers())
    assert compiled(made, tmp_path) == 0
    session = vlarun.open_session(tmp_path / "p.bin")
    with pytest.raises(InputError, match="has another size in every run"):
        session.run(made[1])
    assert session.run({"x": made[1]["x"][:1]})


def test_a_domain_that_nobody_knows(tmp_path, capsys):
    nodes = [N("MatMul", ["x", "w"], ["h"]), N("Fancy", ["h"], ["y"], domain="my.operators")]
    constants = [constant("w", np.eye(8, dtype=np.float32))]
    made = model(nodes, [value("x", [1, 8])], [value("y", [1, 8])], constants, domains=[("my.operators", 1)])
    assert compiled((made, {"x": np.ones((2, 8), np.float32)}), tmp_path) == 1
    error = capsys.readouterr().err
    assert "Fancy" in error and "my.operators" in error and "Traceback" not in error
    onnx.save(made, tmp_path / "m.onnx")
    compile_refused(capsys, tmp_path, tmp_path / "m.onnx", "Fancy", "(domain my.operators)")
