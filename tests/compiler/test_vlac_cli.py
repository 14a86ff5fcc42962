"""The vlac command: what it writes, and that every bad input ends in a message, exit code 1 or 2, and no file."""

import json

import graphs
import numpy as np
import onnx
import pytest
from graphs import GraphBuilder

from vla_isa import hazards, image
from vlac.cli import main


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    g = GraphBuilder("net")
    x = g.node("Flatten", [g.conv(g.input("image", (1, 3, 8, 8)), 8, 3, 2)], 128)
    onnx.save(g.model(g.gemm(x, 128, 4, relu=False)), folder / "net.onnx")
    onnx.save(graphs.demo_policy(), folder / "demo.onnx")
    return folder


@pytest.fixture(scope="module")
def program(models):
    assert main(["compile", str(models / "net.onnx"), "-o", str(models / "net.bin"), "--calib", "random:2"]) == 0
    return models / "net.bin"


def refused(capsys, arguments, *parts, code=1):
    assert main([str(a) for a in arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    for part in parts:
        assert part in captured.err, captured.err


def compile_refused(capsys, tmp_path, model, *parts, extra=("--calib", "random:1"), code=1):
    out = tmp_path / "out.bin"
    refused(capsys, ["compile", model, "-o", out, *extra], *parts, code=code)
    assert list(tmp_path.glob("*.bin")) == [] and list(tmp_path.glob(".*")) == []


# --- what works -----------------------------------------------------------------------------------------


def test_compile_writes_a_legal_program(program):
    loaded = image.load(program)
    hazards.check(loaded)
    assert [t.name for t in loaded.inputs] == ["image"] and loaded.outputs[0].layout.shape == (1, 4)


def test_compile_reports_and_dumps(models, tmp_path, capsys):
    (tmp_path / "report").mkdir()
    code = main(
        [
            "compile",
            str(models / "net.onnx"),
            "-o",
            str(tmp_path / "p.bin"),
            "--calib",
            "random:2",
            "--time",
            "--report",
            str(tmp_path / "report"),
            "--config",
            "tiny",
            "--verify",
            *(f"--dump-after={p}={tmp_path / p}" for p in ("import", "rewrite", "quantize", "legalize", "allocate")),
        ]
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "MMAC" in captured.out and "verified" in captured.out and "legalize" in captured.err
    assert "<svg" in (tmp_path / "report" / "report.html").read_text()
    qdq = onnx.load(str(tmp_path / "quantize"))
    assert any(n.op_type == "QuantizeLinear" for n in qdq.graph.node)
    assert "ConvOp" in (tmp_path / "legalize").read_text() and "stage 0 mac" in (tmp_path / "allocate").read_text()


def test_a_dumped_qdq_model_compiles_to_the_same_program(models, tmp_path):
    q, first, second = tmp_path / "q.onnx", tmp_path / "a.bin", tmp_path / "b.bin"
    assert (
        main(
            [
                "compile",
                str(models / "demo.onnx"),
                "-o",
                str(first),
                "--calib",
                "random:2",
                f"--dump-after=quantize={q}",
            ]
        )
        == 0
    )
    assert main(["compile", str(q), "-o", str(second)]) == 0
    a, b = image.load(first), image.load(second)
    assert [h.data for h in a.heaps] == [h.data for h in b.heaps] and np.array_equal(a.weights, b.weights)


def test_info_and_estimate(program, capsys):
    assert main(["info", str(program), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["macs"] == 16 * 8 * 27 + 128 * 4 and facts["cycles"] > 0 and facts["config"] == "u50"
    assert main(["estimate", str(program), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["instructions"]
    assert rows[-1]["op"] == "HALT" and sum(r["macs"] for r in rows) == facts["macs"]
    assert main(["info", str(program)]) == 0 and main(["estimate", str(program)]) == 0
    assert "memory map" in capsys.readouterr().out


def test_disassembly_assembles_to_the_same_program(program, tmp_path, capsys):
    assert main(["disasm", str(program)]) == 0
    (tmp_path / "p.s").write_text(capsys.readouterr().out)
    assert main(["asm", str(tmp_path / "p.s"), "--base", str(program), "-o", str(tmp_path / "again.bin")]) == 0
    assert (tmp_path / "again.bin").read_bytes() == program.read_bytes()


def test_asm_alone_makes_a_small_program(tmp_path):
    (tmp_path / "p.s").write_text("COPY n0=0   # nothing\nHALT code=7\n")
    assert main(["asm", str(tmp_path / "p.s"), "--config", "tiny", "-o", str(tmp_path / "p.bin")]) == 0
    assert len(image.load(tmp_path / "p.bin").heaps[0].data) == 128


def test_report_page(program, tmp_path):
    assert main(["report", str(program), "-o", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!doctype html>") and "conv0" in page and "http" not in page.replace("http-equiv", "")


def test_ops_and_configs(capsys):
    assert main(["ops"]) == 0 and "GlobalAveragePool" in capsys.readouterr().out
    assert main(["configs"]) == 0 and "u50-2port" in capsys.readouterr().out
    assert main(["configs", "--json"]) == 0 and len(json.loads(capsys.readouterr().out)) >= 3


def test_operator_page_is_up_to_date(capsys):
    from pathlib import Path

    assert main(["ops", "--markdown"]) == 0
    page = Path(__file__).parents[2] / "docs" / "reference" / "operators.md"
    assert page.read_text() == capsys.readouterr().out, "run: vlac ops --markdown > docs/reference/operators.md"


# --- models that are refused ----------------------------------------------------------------------------


def test_missing_model(capsys, tmp_path):
    compile_refused(capsys, tmp_path, tmp_path / "no.onnx", "does not exist", "no.onnx")
    compile_refused(capsys, tmp_path, tmp_path, "not a file")


def test_empty_model(capsys, tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    compile_refused(capsys, tmp_path, tmp_path / "empty.onnx", "is empty")


@pytest.mark.parametrize("text", ["hello, this is text\n", "{}", "\n\n\n", "P6 1 1 255"])
def test_text_model(capsys, tmp_path, text):
    (tmp_path / "text.onnx").write_text(text)
    compile_refused(capsys, tmp_path, tmp_path / "text.onnx", "text.onnx", "ONNX")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_truncated_model(capsys, tmp_path, models, share):
    data = (models / "net.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    compile_refused(capsys, tmp_path, tmp_path / "cut.onnx", "cut.onnx")


def test_all_unsupported_nodes_are_listed_with_their_rules(capsys, tmp_path):
    g = GraphBuilder("many")
    x = g.conv(g.node("Erf", [g.input("x", (1, 4, 16, 16))]), 4, 17, pads=[8] * 4, relu=False)
    onnx.save(g.model(g.node("Softmax", [g.conv(x, 4, 3, 5)])), tmp_path / "many.onnx")
    compile_refused(
        capsys,
        tmp_path,
        tmp_path / "many.onnx",
        "4 nodes cannot run",
        "Erf 'erf0': the operator is not supported",
        "vlac ops",
        "Conv 'conv1' cannot run on 'u50': The kernel must not exceed 15x15. Found kernel 17x17.",
        "Conv 'conv2' cannot run on 'u50': The stride must not exceed 4. Found stride 5x5.",
        "Softmax 'softmax4': the operator is not supported",
    )


def change(models, tmp_path, edit):
    """net.onnx after `edit`, as a new file."""
    model = onnx.load(str(models / "net.onnx"))
    edit(model)
    (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "changed.onnx"


def input_shape(*dims):
    def edit(model):
        for d, value in zip(model.graph.input[0].type.tensor_type.shape.dim, dims, strict=True):
            d.Clear()
            setattr(d, "dim_param" if isinstance(value, str) else "dim_value", value)

    return edit


def input_type(kind):
    def edit(model):
        model.graph.input[0].type.tensor_type.elem_type = getattr(onnx.TensorProto, kind)

    return edit


def opset(version):
    def edit(model):
        model.opset_import[0].version = version

    return edit


def cycle(model):
    conv, relu = model.graph.node[:2]
    conv.input[0] = relu.output[0]


def undefined(model):
    model.graph.node[0].input[0] = "nothing"


def no_outputs(model):
    del model.graph.output[:]


def two_equal_outputs(model):
    model.graph.output.append(model.graph.output[0])


def not_a_number(model):
    weights = model.graph.initializer[0]
    array = onnx.numpy_helper.to_array(weights).copy()
    array[0] = np.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))


def future_format(model):
    model.ir_version = 99


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (input_shape("batch", 3, 8, 8), ("input 'image' has a dynamic shape ['batch', 3, 8, 8]", "batch 1")),
        (input_shape(1, 3, 0, 8), ("input 'image' has shape [1, 3, 0, 8]", "at least 1")),
        (input_shape(1, 3, -8, 8), ("input 'image' has shape [1, 3, -8, 8]", "at least 1")),
        (input_shape(1, 3, 100_000, 100_000), ("30000000000 values", "limit is 268435456")),
        (input_shape(1, 3, 1 << 40, 1 << 40), ("input 'image' has shape", "limit is 268435456")),
        (input_shape(1, 4, 8, 8), ("Conv 'conv0' cannot run", "4 input and 8 output channels, 1 groups of 3")),
        (input_type("INT64"), ("input 'image' is int64", "export the model in float32")),
        (input_type("FLOAT16"), ("input 'image' is float16",)),
        (opset(11), ("opset 11", "13 to 21")),
        (opset(22), ("opset 22", "13 to 21")),
        (opset(1000), ("opset 1000", "13 to 21")),
        (cycle, ("changed.onnx", "topologically sorted")),
        (undefined, ("'nothing'", "not output of any previous nodes")),
        (no_outputs, ("changed.onnx' has no outputs",)),
        (two_equal_outputs, ("twice among its outputs",)),
        (not_a_number, ("constant 'c0' has 27 of 216 values that are not finite",)),
        (future_format, ("ir_version 99",)),
    ],
)
def test_refused_models(capsys, tmp_path, models, edit, parts):
    compile_refused(capsys, tmp_path, change(models, tmp_path, edit), *parts)


@pytest.mark.parametrize(
    ("place", "part"),
    [("../../../etc/passwd", "outside the directory"), ("/etc/passwd", "absolute path"), ("none.data", "none.data")],
)
def test_external_data_stays_beside_the_model(capsys, tmp_path, models, place, part):
    onnx.save(
        onnx.load(str(models / "net.onnx")),
        tmp_path / "external.onnx",
        save_as_external_data=True,
        location="weights.data",
        size_threshold=0,
    )
    assert (
        main(["compile", str(tmp_path / "external.onnx"), "-o", str(tmp_path / "ok.out"), "--calib", "random:1"]) == 0
    )
    model = onnx.load(str(tmp_path / "external.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = place
    (tmp_path / "moved.onnx").write_bytes(model.SerializeToString())
    compile_refused(capsys, tmp_path, tmp_path / "moved.onnx", "moved.onnx", part)


def test_too_large_for_the_scratchpad(capsys, tmp_path):
    g = GraphBuilder("large")
    onnx.save(g.model(g.gemm(g.input("x", (1, 200_000)), 200_000, 2, relu=False)), tmp_path / "large.onnx")
    compile_refused(capsys, tmp_path, tmp_path / "large.onnx", "Gemm 'gemm0'", "weight scratchpad", "K = 200000")


# --- calibration ----------------------------------------------------------------------------------------


def test_no_calibration(capsys, tmp_path, models):
    compile_refused(capsys, tmp_path, models / "net.onnx", "no calibration data", "--calib DATA.npz", extra=())


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"wrong": np.zeros((1, 3, 8, 8))}, "lacks input image"),
        ({"image": np.zeros((1, 3, 8, 8)), "more": np.zeros(3)}, "no such input: more"),
        ({"image": np.zeros((3, 9, 9))}, "shape [3, 9, 9]"),
        ({"image": np.full((1, 3, 8, 8), np.nan)}, "not finite"),
        ({"image": np.full((1, 3, 8, 8), np.inf)}, "not finite"),
        ({"image": np.full((1, 3, 8, 8), 1e300)}, "not finite in float32"),
        ({"image": np.full((1, 3, 8, 8), "x")}, "dtype <U1"),
        ({"image": np.zeros((1, 3, 8, 8), np.complex64)}, "dtype complex64"),
        ({"image": np.array([None, {}])}, "allow_pickle=False"),
        ({"image": np.zeros((0, 3, 8, 8))}, "no samples"),
    ],
)
def test_wrong_calibration(capsys, tmp_path, models, arrays, part):
    np.savez(tmp_path / "c.npz", **arrays)
    compile_refused(capsys, tmp_path, models / "net.onnx", part, extra=("--calib", tmp_path / "c.npz"))


def test_unreadable_calibration(capsys, tmp_path, models):
    (tmp_path / "c.npz").write_text("no archive")
    compile_refused(capsys, tmp_path, models / "net.onnx", "not a readable .npz", extra=("--calib", tmp_path / "c.npz"))
    compile_refused(capsys, tmp_path, models / "net.onnx", "does not exist", extra=("--calib", tmp_path / "none.npz"))
    (tmp_path / "folder").mkdir()
    compile_refused(capsys, tmp_path, models / "net.onnx", "holds no .npz", extra=("--calib", tmp_path / "folder"))
    np.save(tmp_path / "one.npy", np.zeros((1, 3, 8, 8)))
    compile_refused(
        capsys, tmp_path, models / "net.onnx", "one array without a name", extra=("--calib", tmp_path / "one.npy")
    )
    np.savez(tmp_path / "d.npz", image=np.zeros((1, 3, 8, 8)))
    data = bytearray((tmp_path / "d.npz").read_bytes())
    data[200] ^= 255
    (tmp_path / "d.npz").write_bytes(data)
    compile_refused(capsys, tmp_path, models / "net.onnx", "not a readable .npz", extra=("--calib", tmp_path / "d.npz"))


@pytest.mark.parametrize("count", ["0", "-1", "x", ""])
def test_random_calibration_needs_a_number(capsys, tmp_path, models, count):
    part = f"random:N takes a number of samples from 1 to 99999; found '{count}'"
    compile_refused(capsys, tmp_path, models / "net.onnx", part, extra=("--calib", f"random:{count}"))


# --- usage ----------------------------------------------------------------------------------------------


def test_unknown_config(capsys, tmp_path, models):
    compile_refused(
        capsys,
        tmp_path,
        models / "net.onnx",
        "unknown hardware config 'u5'",
        "Did you mean",
        extra=("--config", "u5", "--calib", "random:1"),
    )


@pytest.mark.parametrize(("text", "part"), [("pixels = [", "cannot be read"), ("pixels = 8", "bad.toml")])
def test_bad_config_file(capsys, tmp_path, models, text, part):
    (tmp_path / "bad.toml").write_text(text)
    extra = ("--config", tmp_path / "bad.toml", "--calib", "random:1")
    compile_refused(capsys, tmp_path, models / "net.onnx", part, extra=extra)


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("missing/p.bin", "does not exist; create it first"),
        (".", "is a folder"),
        ("/dev/null", "is a device"),
        ("/proc/p.bin", "choose another place"),
    ],
)
def test_unwritable_output(capsys, tmp_path, models, output, part):
    refused(capsys, ["compile", models / "net.onnx", "-o", tmp_path / output, "--calib", "random:1"], part)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("a/b", "does not exist; create it first"),
        ("file", "is a file; give a folder"),
        ("/proc/report", "choose another place"),
    ],
)
def test_unwritable_report(capsys, tmp_path, models, place, part):
    (tmp_path / "file").write_text("")
    extra = ("--report", tmp_path / place, "--calib", "random:1")
    compile_refused(capsys, tmp_path, models / "net.onnx", part, extra=extra)


def test_one_place_for_two_outputs(capsys, tmp_path, models):
    model = tmp_path / "net.onnx"
    model.write_bytes((models / "net.onnx").read_bytes())
    refused(capsys, ["compile", model, "-o", model, "--calib", "random:1"], "is also the model", code=2)
    assert model.read_bytes() == (models / "net.onnx").read_bytes()
    for option in (("--report", tmp_path / "out.bin"), (f"--dump-after=quantize={tmp_path / 'out.bin'}",)):
        compile_refused(capsys, tmp_path, model, "also another output", extra=("--calib", "random:1", *option), code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["compile"],
        ["compile", "x.onnx"],
        ["compile", "x.onnx", "-o", "p.bin", "--bogus"],
        ["compile", "x.onnx", "-o", "p.bin", "--calib-method", "magic"],
    ],
)
def test_bad_usage(capsys, arguments):
    refused(capsys, arguments, "usage", code=2)


def test_unknown_pass_to_dump(capsys, tmp_path, models):
    compile_refused(
        capsys, tmp_path, models / "net.onnx", "PASS=FILE", "legalize", extra=("--dump-after", "nothing"), code=2
    )


@pytest.mark.parametrize("command", ["info", "disasm", "estimate"])
def test_damaged_programs(capsys, tmp_path, program, command):
    data = bytearray(program.read_bytes())
    (tmp_path / "cut.bin").write_bytes(data[: len(data) // 2])
    refused(capsys, [command, tmp_path / "cut.bin"], "cut.bin")
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.bin").write_bytes(data)
    refused(capsys, [command, tmp_path / "flipped.bin"], "flipped.bin")
    refused(capsys, [command, tmp_path / "none.bin"], "none.bin")


def test_bad_assembly(capsys, tmp_path):
    (tmp_path / "bad.s").write_text("CONV kernel_q=3\n")
    refused(capsys, ["asm", tmp_path / "bad.s", "-o", tmp_path / "p.bin"], "line 1")
    refused(capsys, ["asm", tmp_path / "no.s", "-o", tmp_path / "p.bin"], "cannot be read")
    assert not (tmp_path / "p.bin").exists()


def test_help(capsys):
    assert main(["--help"]) == 0 and "compile" in capsys.readouterr().out
