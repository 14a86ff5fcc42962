"""The vlac command: what it writes, and that bad usage ends in a message, exit code 1 or 2, and no file."""

import json
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from refusals import compile_refused, refused

import vlarun
from vla_isa import hazards, image
from vla_toolchain.verify import exact_reference
from vla_toolchain.vlac_cli import main
from vla_toolchain.vlarun_cli import main as run_main

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
            *(f"--dump-after={p}={tmp_path / p}" for p in ("import", "rewrite", "quantize", "legalize", "plan")),
        ]
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "MMAC" in captured.out and "verified" in captured.out and "legalize" in captured.err
    assert "<svg" in (tmp_path / "report" / "report.html").read_text()
    qdq = onnx.load(str(tmp_path / "quantize"))
    assert any(n.op_type == "QuantizeLinear" for n in qdq.graph.node)
    assert "ConvOp" in (tmp_path / "legalize").read_text() and "stage 0 mac" in (tmp_path / "plan").read_text()


def test_verify_prints_every_node_and_refuses_what_is_outside_the_limits(models, tmp_path, capsys, monkeypatch):
    if not exact_reference():
        pytest.skip("ONNX Runtime's int8 convolution is exact only on CPUs with VNNI")
    arguments = ["compile", models / "net.onnx", "-o", tmp_path / "p.bin", "--calib", "random:2", "--verify"]
    assert main([str(a) for a in arguments]) == 0
    table = capsys.readouterr().out
    assert "max LSB" in table and "SNR to float" in table and "100.000 %" in table
    (row,) = [line.split() for line in table.splitlines() if line.startswith("gemm")]
    assert row[0] == "gemm3" and row[1] == "8" and float(row[-2]) > 20  # 2 samples of 4 values
    (tmp_path / "p.bin").unlink()
    right = vlarun.Session.device_outputs

    def wrong(self, *args, **kwargs):
        return {n: a + 2 * (a < 100) for n, a in right(self, *args, **kwargs).items()}

    monkeypatch.setattr(vlarun.Session, "device_outputs", wrong)
    refused(capsys, arguments, "differs from ONNX Runtime", "'gemm3' in ", "by up to ")
    assert not (tmp_path / "p.bin").exists()


def test_embedded_model_is_all_that_ref_needs(models, tmp_path):
    out = tmp_path / "p.bin"
    assert main(["compile", str(models / "net.onnx"), "-o", str(out), "--calib", "random:2", "--embed-onnx"]) == 0
    image_in = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "in.npz", image=image_in)
    arguments = [str(out), "--input", str(tmp_path / "in.npz"), "--backend", "ref"]
    assert run_main([*arguments, "--output", str(tmp_path / "out.npz")]) == 0
    session = onnxruntime.InferenceSession(str(models / "net.onnx"))
    (name, found) = next(iter(np.load(tmp_path / "out.npz").items()))
    assert np.array_equal(found, session.run([name], {"image": image_in})[0])
    assert len(image.load(out).onnx) > 0


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
def test_quantization_options(models, tmp_path, capsys, method):
    extra = ["--equalize", "--bias-correction", "--sensitivity", "--report", str(tmp_path / "r")]
    arguments = ["compile", str(models / "net.onnx"), "-o", str(tmp_path / "p.bin"), "--calib", "random:2"]
    assert main([*arguments, "--calib-method", method, *extra]) == 0
    out = capsys.readouterr().out
    assert "only this layer quantized" in out and "conv0" in out and "all" in out
    assert "Sensitivity" in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize(
    ("option", "values"), [("--carry", ("x=y", "x=z")), ("--input-shape", ("x=1,3,8,8", "x=1,3,9,9"))]
)
def test_an_input_is_named_once(capsys, tmp_path, models, option, values):
    """The last one would win without a word."""
    extra = ("--calib", "random:1", *(text for value in values for text in (option, value)))
    compile_refused(capsys, tmp_path, models / "net.onnx", f"{option}: 'x' is given twice", extra=extra, code=2)


def test_percentile_out_of_range(capsys, tmp_path, models):
    extra = ("--calib", "random:1", "--percentile", "101")
    compile_refused(capsys, tmp_path, models / "net.onnx", "--percentile is 101", extra=extra, code=2)


def test_options_that_would_change_nothing_are_refused(capsys, tmp_path, models, program):
    net, calib = models / "net.onnx", ("--calib", "random:1")
    for extra in (("--percentile", "99"), ("--calib-method", "mse", "--percentile", "99")):
        compile_refused(capsys, tmp_path, net, "--percentile is for", extra=(*calib, *extra), code=2)
    quantized = tmp_path / "q.onnx"
    line = ["compile", str(net), "-o", str(tmp_path / "a"), *calib, f"--dump-after=quantize={quantized}"]
    assert main(line) == 0
    for extra in (calib, ("--equalize",), ("--bias-correction",), ("--calib-method", "entropy")):
        compile_refused(capsys, tmp_path, quantized, "is quantized already", extra[0], extra=extra, code=2)
    (tmp_path / "p.s").write_text("HALT\n")
    line = ["asm", tmp_path / "p.s", "--base", program, "--config", "u50", "-o", tmp_path / "b"]
    refused(capsys, line, "exclude each other", code=2)
    assert not (tmp_path / "b").exists()


def test_tables_fit_a_terminal(program, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in (["ops"], ["ops", "--config", "tiny"]):
        assert main(command) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert main(["estimate", str(program)]) == 0
    whole = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["estimate", str(program)]) == 0
    cut = capsys.readouterr().out.splitlines()
    assert cut == [line[:80] for line in whole] and whole[0].startswith("packet op")


def test_ops_shows_every_rule(capsys):
    from vla_isa.hardware import load
    from vlac.lowering.spec import rule_text
    from vlac.ops import OPS

    assert main(["ops"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for spec in OPS:
        for rule in spec.rules:
            assert rule_text(rule, load("u50")) in text


def test_progress_is_shown_on_a_terminal_only(models, tmp_path):
    import os
    import pty
    import sys

    line = ["-m", "vlac", "compile", str(models / "demo.onnx"), "-o", str(tmp_path / "p.bin"), "--calib", "random:4"]
    done = subprocess.run([sys.executable, *line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    reader, writer = pty.openpty()
    with subprocess.Popen([sys.executable, *line], stdout=subprocess.DEVNULL, stderr=writer) as process:
        os.close(writer)
        shown = b""
        while True:
            try:
                shown += os.read(reader, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0
    os.close(reader)
    assert b"vlac: quantize" in shown and b"0:00:0" in shown
    assert b"\x1b[2K" in shown.rpartition(b"vlac: ")[2], "the line is removed at the end"


def test_compile_help_explains_quantization(capsys):
    assert main(["compile", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--calib-method", "--percentile", "--equalize", "--bias-correction", "--sensitivity"):
        assert option in text
    assert "--allow-host" in text and "--embed-onnx" in text and "least squared error" in text


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
    assert main(["estimate", str(program), "--json", "--nodes"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert sum(n["macs"] for n in nodes) == facts["macs"]
    assert main(["estimate", str(program), "--nodes"]) == 0
    text = capsys.readouterr().out
    assert all(n["node"] in text for n in nodes) and "weights loaded (COPY)" in text


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
