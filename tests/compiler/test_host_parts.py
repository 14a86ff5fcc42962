"""--allow-host: the cut keeps what the model computes, refused nodes are listed with reasons, both backends agree."""

import itertools
import json

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from graphs import GraphBuilder
from qdq_graphs import model_with
from random_graphs import numbered

from vla_isa import package
from vla_isa.errors import ProgramError
from vla_isa.hardware import load
from vla_isa.program import Program
from vla_toolchain.vlac_cli import main
from vla_toolchain.vlarun_cli import main as run_main
from vlac import CompileOptions, compile_file
from vlac.errors import UnsupportedError
from vlac.import_onnx.flow import Flow
from vlac.partition.cut import cut
from vlac.partition.table import partition_costs
from vlarun import PackageSession, open_session
from vlarun.errors import InputError


def run_onnx(model, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {i.name: inputs[i.name] for i in session.get_inputs()}), strict=True))


def random_inputs(model, seed=0, runs=1):
    rng = np.random.default_rng(seed)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    return {n: rng.standard_normal([runs, *s[1:]]).astype(np.float32) for n, s in shapes.items()}


def branched():
    """Device, host, device with a device branch around it, host twice, device."""
    g = GraphBuilder("host")
    x = g.conv(g.input("image", (1, 3, 12, 12)), 16, 3, 2)
    y = g.conv(g.node("LpNormalization", [x], axis=1), 24, 3, 2)
    y = g.node("Add", [y, g.conv(x, 24, 3, 2)])
    v = g.node("CumSum", [g.node("Flatten", [y], 216), g.constant(np.array(1, np.int64))], 216)
    v = g.node("LpNormalization", [v], 216)
    v = g.node("Concat", [v, g.gemm(g.input("state", (1, 8)), 8, 16)], 232, axis=1)
    return g.model(g.gemm(v, 232, 5, relu=False))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    onnx.save(branched(), folder / "m.onnx")
    arguments = ["compile", str(folder / "m.onnx"), "-o", str(folder / "p.bin"), "--config", "tiny"]
    extra = ["--calib", "random:4", "--allow-host", "--embed-onnx", "--verify", "--report", str(folder / "report")]
    assert main([*arguments, *extra]) == 0
    np.savez(folder / "in.npz", **random_inputs(branched(), runs=2))
    return folder


# --- the cut -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_any_cut_computes_the_same(tmp_path, seed):
    """Segments one after the other in ONNX Runtime give the bits of the whole model, whatever the host set."""
    onnx.save(numbered(seed), tmp_path / "m.onnx")
    state = compile_file(tmp_path / "m.onnx", load("tiny"), CompileOptions(calibration="random:1"))
    flow = Flow(state.model)
    rng = np.random.default_rng(seed)
    host = {n.name for n in flow.compute if rng.random() < 0.4} or {flow.compute[0].name}
    values = random_inputs(state.qdq, seed)
    wanted = run_onnx(state.qdq, values)
    segments = cut(flow, host)
    assert sorted(n.name for s in segments for n in s.nodes) == sorted(n.name for n in flow.compute)
    for segment in segments:
        model = ir.to_proto(segment.model(flow))
        onnx.checker.check_model(model)
        assert all((n.name in host) == segment.on_host for n in segment.nodes)
        assert {i.name for i in model.graph.input} <= set(values), "a segment reads what no earlier one made"
        values |= run_onnx(model, values)
    for name, array in wanted.items():
        assert np.array_equal(values[name], array), name


def test_no_two_segments_of_a_kind_follow_each_other(compiled):
    parts = package.load(compiled / "p.bin").partitions
    kinds = [isinstance(p, Program) for p in parts]
    assert kinds == [True, False, True, False, True]
    state = [t.name for t in parts[4].inputs]
    assert "state" in state, "the branch of the state runs with the part that needs it, not in one of its own"


# --- running -------------------------------------------------------------------------------------------------


def test_without_the_flag_all_nodes_are_listed(tmp_path, capsys):
    onnx.save(branched(), tmp_path / "m.onnx")
    assert main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "p.bin"), "--calib", "random:1"]) == 1
    error = capsys.readouterr().err
    assert all(found in error for found in ("LpNormalization x 2 ('", "CumSum '"))
    assert "3 nodes" in error and "--allow-host" in error and not (tmp_path / "p.bin").exists()


def test_both_backends_agree_and_the_model_is_met(compiled, capsys):
    outputs = {}
    for backend in ("sim", "rtl", "ref"):
        extra = [] if backend == "ref" else ["--check", "--stats", str(compiled / "stats.json"), "--raw"]
        arguments = [str(compiled / "p.bin"), "--input", str(compiled / "in.npz"), "--backend", backend]
        assert run_main([*arguments, "--output", str(compiled / f"{backend}.npz"), *extra]) == 0
        outputs[backend] = next(iter(np.load(compiled / f"{backend}.npz").values()))
    assert outputs["sim"].dtype == np.int8 and outputs["sim"].shape == (2, 5)
    assert np.array_equal(outputs["sim"], outputs["rtl"])
    real = next(iter(open_session(compiled / "p.bin").run(dict(np.load(compiled / "in.npz"))).values()))
    noise = ((real - outputs["ref"]) ** 2).sum() / (outputs["ref"] ** 2).sum()
    assert 10 * np.log10(noise) < -20
    stats = json.loads((compiled / "stats.json").read_text())
    assert [p["kind"] for p in stats["parts"]] == ["device", "host", "device", "host", "device"]
    assert stats["cycles"] == sum(p["cycles"] for p in stats["parts"] if p["kind"] == "device") > 0
    assert stats["instructions"][0]["part"] == 0 and stats["macs"] > 0
    assert run_main(["compare", str(compiled / "p.bin"), "--input", str(compiled / "in.npz")]) == 0
    assert "agree on 2 run(s)" in capsys.readouterr().out


def test_trace_has_a_process_per_part(compiled):
    session = open_session(compiled / "p.bin")
    session.run(random_inputs(branched()))
    events = session.trace["traceEvents"]
    assert {e["pid"] for e in events} == {0, 1, 2, 3, 4}
    spans = [[(e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X" and e["pid"] == i] for i in range(5)]
    for before, after in itertools.pairwise(spans):  # one after the other
        assert max(end for _, end in before) <= min(start for start, _ in after) + 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": None}, "input 'image' is missing"),
        ({"image": np.zeros((1, 3, 12, 13), np.float32)}, r"shape \[1, 3, 12, 13\]"),
        ({"image": np.zeros((1, 3, 12, 12), np.complex64)}, "give numbers"),
        ({"state": np.full((1, 8), np.nan, np.float32)}, "must be finite"),
        ({"state": np.zeros((3, 8), np.float32), "image": np.zeros((2, 3, 12, 12), np.float32)}, "disagree"),
    ],
)
def test_wrong_inputs_are_refused(compiled, change, message):
    inputs = {k: v for k, v in {**random_inputs(branched()), **change}.items() if v is not None}
    with pytest.raises(InputError, match=message):
        open_session(compiled / "p.bin").run(inputs)


# --- what is refused late ------------------------------------------------------------------------------------


def compile_host(model, tmp_path, calib=None, config="tiny"):
    onnx.save(model, tmp_path / "m.onnx")
    return compile_file(tmp_path / "m.onnx", load(config), CompileOptions(calibration=calib, allow_host=True))


def hosted(state):
    return {n.node: n.reason for p in state.package.partitions if isinstance(p, package.HostPartition) for n in p.nodes}


def test_a_value_without_scale_goes_to_the_host(tmp_path):
    """Conv -> Sigmoid without Q between: Conv's result has no scale, so both run on the host."""

    def body(g, x):
        y = g.qdq(g.node("Conv", [g.qdq(x), g.weights((8, 12, 1, 1))], 8), 0.1)
        y = g.node("Softsign", [g.node("Conv", [y, g.weights((8, 8, 1, 1))], 8)])
        return g.qdq(g.node("Conv", [g.qdq(y, 1 / 128), g.weights((8, 8, 1, 1))], 8), 0.05)

    model = model_with(body)
    state = compile_host(model, tmp_path)
    if state.package is None:
        pytest.skip("the compiler takes this chain as one table")
    assert any("is not quantized" in reason for reason in hosted(state).values())
    inputs = random_inputs(model)
    found = next(iter(PackageSession(state.package, open_session(state.package).backend).run(inputs).values()))
    wanted = next(iter(run_onnx(model, inputs).values()))
    assert np.abs(found - wanted).max() <= 0.05 * 1.01 and (np.abs(found - wanted) < 1e-6).mean() > 0.99


def test_a_layer_that_does_not_fit_goes_to_the_host(tmp_path):
    g = GraphBuilder("large")
    x = g.gemm(g.input("x", (1, 40_000)), 40_000, 8)
    state = compile_host(g.model(g.gemm(x, 8, 4, relu=False)), tmp_path, "random:1")
    assert list(hosted(state)) == ["gemm0"] and "weight scratchpad" in hosted(state)["gemm0"]


def test_a_model_without_host_nodes_is_a_plain_program(tmp_path):
    g = GraphBuilder("plain")
    state = compile_host(g.model(g.conv(g.input("x", (1, 3, 6, 6)), 4, relu=False)), tmp_path, "random:1")
    assert state.package is None and isinstance(state.program, Program)


def test_a_model_without_device_nodes_is_refused(tmp_path):
    g = GraphBuilder("none")
    with pytest.raises(UnsupportedError, match="no node of the model can run on the machine"):
        compile_host(g.model(g.node("Det", [g.input("x", (2, 3, 3))])), tmp_path, "random:1")


# --- the file and the pages ----------------------------------------------------------------------------------


def test_costs_reasons_and_page(compiled, capsys):
    costs = partition_costs(package.load(compiled / "p.bin"))
    device = [c for c in costs if c.kind == "device"]
    assert all(c.cycles > 0 and c.bytes_in > 0 and c.bytes_out > 0 for c in device)
    assert [len(c.nodes) for c in costs] == [0, 1, 0, 2, 0]
    host = costs[1]
    assert host.bytes_in == host.bytes_out == 16 * 36 * 4 and host.milliseconds > 0
    assert main(["info", str(compiled / "p.bin")]) == 0
    text = capsys.readouterr().out
    assert "5 partitions" in text and "partition 4: program for 'tiny'" in text
    assert "the operator is not supported" in text
    assert main(["info", str(compiled / "p.bin"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["parts"]) == 5
    assert main(["estimate", str(compiled / "p.bin"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["parts"]) == 3
    assert main(["disasm", str(compiled / "p.bin")]) == 0 and "partition 4 for tiny" in capsys.readouterr().out
    page = (compiled / "report" / "report.html").read_text()
    assert "why on the host" in page and "CumSum" in page and page.count("Activation scratchpad") == 3
    assert main(["report", str(compiled / "p.bin"), "-o", str(compiled / "r.html")]) == 0


def test_the_file_is_checked(compiled):
    data = (compiled / "p.bin").read_bytes()
    loaded = package.loads(data)
    assert package.dumps(loaded) == data
    for position in np.linspace(0, len(data) - 1, 40).astype(int):
        broken = bytearray(data)
        broken[position] ^= 0x10
        with pytest.raises(ProgramError):
            package.loads(bytes(broken))
    with pytest.raises(ProgramError, match="truncated"):
        package.loads(data[:-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.partitions.pop(0), "reads .* which no earlier partition makes"),
        (lambda b: b.partitions.insert(0, b.partitions[0]), "exists already"),
        (lambda b: b.partitions.clear(), "0 partitions"),
        (lambda b: b.outputs.append(package.Value("more", (1,), "float32")), "no partition makes the output 'more'"),
        (lambda b: b.outputs.append(b.outputs[0]), "two model outputs have the name"),
        (lambda b: b.outputs.clear(), "no outputs"),
        (lambda b: b.outputs.append(package.Value("x", (-2,), "float32")), r"model output 'x' has shape \[-2\]"),
        (lambda b: b.inputs.append(b.inputs[0]), "two model inputs have the name"),
        (lambda b: b.inputs.append(package.Value("u", (1,), "object")), "model input 'u' has dtype 'object'; there"),
        (lambda b: b.inputs.append(package.Value("u", (-1,), "int8")), r"model input 'u' has shape \[-1\]"),
        (lambda b: b.inputs.append(package.Value("u", (1 << 40,), "int8")), "model input 'u' has shape"),
        (lambda b: b.inputs.append(package.Value("u", (1,) * 99, "int8")), "up to 32 axes"),
        (
            lambda b: b.partitions.__setitem__(slice(None), b.partitions[1:2]),
            "none of the program's partitions runs",
        ),
    ],
)
def test_parts_that_do_not_fit_together(compiled, change, message):
    loaded = package.load(compiled / "p.bin")
    change(loaded)
    with pytest.raises(ProgramError, match=message):
        package.dumps(loaded)
