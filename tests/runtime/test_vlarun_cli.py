"""The command line: what it writes, and exit code, message and no file for every bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hand_program import good_inputs, make_program

import vlarun
from vla_isa.encoding import encode, make_packet
from vla_isa.program import Segment
from vla_toolchain.vlarun_cli import main
from vlarun import commands, partitions
from vlarun.backends import SimBackend


def test_run_writes_everything(
    program_file: Path, input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stats, trace = tmp_path / "out.npz", tmp_path / "stats.json", tmp_path / "trace.json"
    assert (
        main(
            [
                str(program_file),
                "--input",
                str(input_file),
                "--output",
                str(out),
                "--stats",
                str(stats),
                "--trace",
                str(trace),
                "--config",
                "tiny",
                "--check",
            ]
        )
        == 0
    )
    line = capsys.readouterr().out
    assert "cycles by the performance model" in line and "on 'tiny'" in line and line.count("\n") == 3
    want = vlarun.Session(program_file).run(good_inputs())
    with np.load(out) as got:
        assert set(got.files) == {"sum", "copy"}
        assert np.array_equal(got["sum"], want["sum"])
    assert json.loads(stats.read_text())["config"] == "tiny"
    assert json.loads(trace.read_text())["traceEvents"]


def test_raw_and_entry(program_file: Path, input_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    assert main([str(program_file), "--input", str(input_file), "--output", str(out), "--raw", "--entry", "main"]) == 0
    with np.load(out) as got:
        assert got["sum"].dtype == np.int8


def test_summary_and_json(program_file: Path, input_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(program_file), "--input", str(input_file)]) == 0
    assert "sum float32 [1, 3, 5, 6]" in capsys.readouterr().out
    assert main([str(program_file), "--input", str(input_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backend"] == "sim"


def bad_programs(good: bytes) -> dict[str, bytes]:
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    return {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "text": b"hello\n" * 99,
        "flipped": bytes(flipped),
        "longer": good + b"\0",
    }


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "flipped", "longer", "missing"])
def test_bad_program(
    kind: str, program_file: Path, input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, out = tmp_path / "bad.bin", tmp_path / "out.npz"
    if kind != "missing":
        bad.write_bytes(bad_programs(program_file.read_bytes())[kind])
    assert main([str(bad), "--input", str(input_file), "--output", str(out)]) == 1
    assert_refused(capsys, out, "bad.bin")


def assert_refused(capsys: pytest.CaptureFixture[str], out: Path, *words: str) -> None:
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error
    for word in words:
        assert word in error
    assert not out.exists() and not list(out.parent.glob(".out*"))


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"imag": np.zeros((1, 3, 5, 6), np.float32)}, "Did you mean 'image'"),
        ({"image": np.zeros((1, 3, 5), np.float32)}, "expected [1, 3, 5, 6]"),
        ({"image": np.zeros((1, 3, 5, 6), np.complex64)}, "complex64"),
        ({"image": np.full((1, 3, 5, 6), np.nan, np.float32)}, "nan"),
    ],
)
def test_bad_arrays(
    arrays: dict[str, np.ndarray], word: str, program_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "x.npz", tmp_path / "out.npz"
    np.savez(path, **(good_inputs() | arrays))
    assert main([str(program_file), "--input", str(path), "--output", str(out)]) == 1
    assert_refused(capsys, out, word)


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04broken", "npy", "pickle"])
def test_bad_input_file(
    content: bytes | str | None, program_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "x.npz", tmp_path / "out.npz"
    if content == "npy":
        with path.open("wb") as f:
            np.save(f, np.zeros(3))
    elif content == "pickle":
        np.savez(path, image=np.array([{}], object))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert main([str(program_file), "--input", str(path), "--output", str(out)]) == 1
    assert_refused(capsys, out, "x.npz")


def test_unwritable_output(
    program_file: Path, input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, word in ((tmp_path / "no" / "out.npz", "does not exist; create it first"), (tmp_path, "is a folder")):
        assert main([str(program_file), "--input", str(input_file), "--output", str(path)]) == 1
        error = capsys.readouterr().err
        assert word in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--backend", "simm"], 2, "unknown backend 'simm'"),
        (["--config", "u50"], 1, "compiled for 'tiny'"),
        (["--config", "nope"], 1, "unknown hardware config 'nope'"),
        (["--entry", "nope"], 1, "no entry point 'nope'"),
        (["--backend", "ref"], 1, "--onnx"),
        (["--no-such-option"], 2, "unrecognized arguments"),
    ],
)
def test_bad_options(
    options: list[str],
    code: int,
    word: str,
    program_file: Path,
    input_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.npz"
    assert main([str(program_file), "--input", str(input_file), "--output", str(out), *options]) == code
    error = capsys.readouterr().err
    assert word in error and "Traceback" not in error and not out.exists()


def test_options_of_another_backend_are_refused(
    program_file: Path, input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, compare = [str(program_file), "--input", str(input_file)], ["--input", str(input_file)]
    for line, word in (
        ([*run, "--onnx", "m.onnx"], "--onnx is for --backend ref"),
        ([*run, "--backend", "rtl", "--onnx", "m.onnx"], "--onnx is for --backend ref"),
        ([*run, "--library", "m.so"], "--library is for --backend rtl"),
        ([*run, "--backend", "ref", "--onnx", "m.onnx", "--entry", "main"], "--entry is a place in the program"),
        ([*run, "--output", str(input_file)], "is read too"),
        ([*run, "--output", str(tmp_path / "x"), "--stats", str(tmp_path / "x")], "is another output too"),
        (["compare", str(program_file), *compare, "--onnx", "m.onnx"], "--onnx is for backend ref"),
        (["compare", str(program_file), *compare, "--backends", "sim,ref", "--library", "m.so"], "for backend rtl"),
        (["conformance", "--stalls", "random"], "--stalls random is of the Verilog machine"),
        (["conformance", "--checked"], "--checked is of the Verilog machine"),
        (["conformance", "--suite", "T1", "--programs", "3"], "--programs is of suite T2"),
        (["conformance", "--programs", "0"], "0 is less than 1"),
    ):
        assert main(line) == 2, line
        assert word in capsys.readouterr().err, line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npz", "prog.bin"]


def test_small_outputs_are_printed_in_full(
    program_file: Path, input_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(program_file), "--input", str(input_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    want = vlarun.Session(program_file).run(good_inputs())
    (line,) = [text for text in lines if text.startswith("copy float32 [1, 2]: ")]
    assert [float(v) for v in line.partition(": ")[2].split()] == want["copy"].reshape(-1).tolist()
    (line,) = [text for text in lines if text.startswith("sum float32 [1, 3, 5, 6]: min ")]
    assert f"max {want['sum'].max():.6g}" in line and "--output FILE.npz" in line
    assert "cycles by the performance model" in lines[-1]


def test_usage() -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert main(["compare", "--help"]) == 0
    assert main(["prog.bin"]) == 2


def test_a_machine_error_is_exit_code_1(
    input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program()
    packets = bytearray(program.heaps[0].data)
    packets[64:128] = encode(make_packet("HALT", wait=4))
    program.heaps[0] = Segment(0, bytes(packets))
    monkeypatch.setattr(partitions, "load", lambda path: program)
    out = tmp_path / "out.npz"
    assert main(["p.bin", "--input", str(input_file), "--output", str(out)]) == 1
    assert_refused(capsys, out, "DEADLOCK at packet 1 (address 0x40)", "semaphore 2")


def test_compare(
    program_file: Path, input_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["compare", str(program_file), "--input", str(input_file), "--backends"]
    assert main([*arguments, "sim,sim"]) == 2
    assert "two different names" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(commands, "create", lambda name, **options: SimBackend())
        assert main([*arguments, "sim,rtl"]) == 0
        assert "agree on 1 run" in capsys.readouterr().out
        assert main([*arguments, "sim,rtl", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["equal"] is True
    assert main([*arguments, "sim"]) == 2
    assert main([*arguments, "sim,rlt"]) == 2
    assert "Did you mean 'rtl'" in capsys.readouterr().err


def test_conformance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.json"
    assert (
        main(
            [
                "conformance",
                "--config",
                "tiny",
                "--suite",
                "T1,T2",
                "--programs",
                "2",
                "--match",
                "T2",
                "--json",
                str(path),
            ]
        )
        == 0
    )
    written = json.loads(path.read_text())
    assert written["passed"] and [c["id"] for c in written["cases"]] == [
        "T2.0.0000",
        "T2.0.0000.rescheduled",
        "T2.0.0001",
        "T2.0.0001.rescheduled",
    ]
    assert "4 of 4 cases passed" in capsys.readouterr().out
    for options in (["--suite", "T9"], ["--match", "nothing like it"], ["--backend", "ref"]):
        assert main(["conformance", "--config", "tiny", *options]) == 2
