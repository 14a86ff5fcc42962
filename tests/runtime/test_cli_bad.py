"""Bad files at the command line: one message with what is wrong, exit code 1, no traceback, no output, no hang."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_program import good_inputs, make_program
from onnx import TensorProto, helper

from vla_isa import image
from vla_isa.container import ALIGNMENT, ENTRY_BYTES, VERSION
from vla_isa.encoding import decode, encode, make_packet
from vla_isa.packet import Packet
from vla_isa.program import MapEntry, Program, Segment
from vla_toolchain.vlarun_cli import main

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
TIMEOUT = 300  # seconds; a first run builds the Verilated machine


def onnx_bytes() -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["x2"])], "g", [x], []))
    data: bytes = model.SerializeToString()
    return data


def section_starts(data: bytes) -> dict[str, int]:
    """First byte of every section that is not empty, and of the header and the section table."""
    (count,) = struct.unpack_from("<I", data, 12)
    starts = {"header": 0, "section table": ALIGNMENT}
    for i in range(count):
        raw, start, size = struct.unpack_from("<16sQQ", data, ALIGNMENT + ENTRY_BYTES * i)
        if size:
            starts[raw.rstrip(b"\0").decode()] = start
    return starts


def full_program() -> Program:
    """The test program with something in every section."""
    program = make_program()
    line = program.data_bytes // 64
    constants, words = [Segment(line, b"table")], np.ones((1, program.config.weight_word_bytes), np.int8)
    memory_map = [MapEntry("x", "act", 0, 1, 0, 1)]
    return replace(
        program,
        data_bytes=program.data_bytes + 64,
        constants=constants,
        weights=words,
        memory_map=memory_map,
        manifest={"made by": "a test"},
    )


def newer(data: bytes) -> bytes:
    """The same file with the next format version and a right header CRC."""
    out = bytearray(data)
    struct.pack_into("<I", out, 8, VERSION + 1)
    struct.pack_into("<I", out, ALIGNMENT - 4, zlib.crc32(out[: ALIGNMENT - 4]))
    return bytes(out)


def refused(arguments: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """Run in this process; returns the message. The folder of the outputs must stay empty."""
    folder = tmp_path / "written"
    folder.mkdir(exist_ok=True)
    outputs = ["--output", folder / "out.npz", "--stats", folder / "stats.json", "--trace", folder / "trace.json"]
    assert main([str(a) for a in (*arguments, *outputs)]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and not captured.out
    assert list(folder.iterdir()) == []
    return captured.err


@pytest.mark.parametrize("part", ["header", "section table", *image.SECTIONS])
def test_a_flipped_bit_anywhere(
    part: str, input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = image.dumps(full_program())
    starts = section_starts(good)
    bad = tmp_path / "bad.bin"
    for bit in (0, 7):
        data = bytearray(good)
        data[starts[part]] ^= 1 << bit
        bad.write_bytes(data)
        message = refused([bad, "--input", input_file], tmp_path, capsys)
        assert "bad.bin" in message
        assert part in message or (part == "header" and "no program file" in message)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no program file"),
        (b"hello\n" * 50, "no program file"),
        (PNG, "make one with vlac compile"),
        (onnx_bytes(), "make one with vlac compile"),
        (newer, f"version {VERSION + 1}; this release reads {VERSION}: update it"),
        (lambda good: good[:40], "ends inside its header"),
        (lambda good: good[:200], "truncated"),
        (lambda good: good[:-1], "truncated"),
        (lambda good: good + b"\0", "nothing may follow it"),
    ],
    ids=["empty", "text", "png", "onnx", "newer", "cut at 40", "cut at 200", "cut by one", "longer"],
)
def test_no_program(
    content: object,
    words: str,
    program_file: Path,
    input_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "bad.bin"
    bad.write_bytes(content(program_file.read_bytes()) if callable(content) else content)
    message = refused([bad, "--input", input_file], tmp_path, capsys)
    assert "bad.bin" in message and words in message
    assert main(["compare", str(bad), "--input", str(input_file)]) == 1
    assert words in capsys.readouterr().err


def test_a_program_that_is_a_folder(input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot be read" in refused([tmp_path, "--input", input_file], tmp_path, capsys)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"imag": np.zeros(3, np.float32)}, ["'imag'", "Did you mean 'image'", "[1, 3, 5, 6]"]),
        ({"image": np.zeros((1, 3, 5, 7), np.float32)}, ["[1, 3, 5, 7]", "expected [1, 3, 5, 6]", "[N, 3, 5, 6]"]),
        ({"image": np.zeros((0, 3, 5, 6), np.float32)}, ["[0, 3, 5, 6]"]),
        ({"image": np.zeros((1, 3, 5, 6), np.complex64)}, ["complex64", "give numbers"]),
        ({"image": np.full((1, 3, 5, 6), -np.inf, np.float32)}, ["-inf at [0, 0, 0, 0]"]),
        ({"image": np.full((1, 3, 5, 6), 1e300)}, ["1e+300 at [0, 0, 0, 0]", "float32 holds no such number"]),
        ({"image": np.zeros((3, 3, 5, 6), np.float32)}, ["'image' 3, 'bias' 1"]),
    ],
)
def test_wrong_arrays(
    arrays: dict[str, np.ndarray],
    words: list[str],
    program_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **(good_inputs() | arrays))
    message = refused([program_file, "--input", path], tmp_path, capsys)
    for word in words:
        assert word in message


def test_unwritable_stats_and_trace(
    program_file: Path, input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--output", "--stats", "--trace"):
        path = tmp_path / "none" / "x"
        assert main([str(program_file), "--input", str(input_file), option, str(path)]) == 1
        assert "does not exist; create it first" in capsys.readouterr().err
    device = tmp_path / "pipe"
    os.mkfifo(device)
    for path, words in ((device, "is a device or a pipe"), (Path("/proc/none"), "cannot be written")):
        assert main([str(program_file), "--input", str(input_file), "--output", str(path)]) == 1
        assert words in capsys.readouterr().err
    assert device.is_fifo()


def with_packet(number: int, **changes: int) -> Program:
    """The test program with fields of one packet changed."""
    program = make_program()
    data = bytearray(program.heaps[0].data)
    packet = decode(bytes(data[64 * number : 64 * number + 64]))
    data[64 * number : 64 * number + 64] = encode(Packet(packet.instruction, {**packet.values, **changes}))
    program.heaps[0] = Segment(0, bytes(data))
    return program


def test_an_illegal_packet_is_refused_at_load(
    input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "illegal.bin"
    image.save(with_packet(2, out_h=1000), path)
    message = refused([path, "--input", input_file], tmp_path, capsys)
    assert "illegal.bin" in message and "packet 2" in message


def deadlock_file(tmp_path: Path) -> Path:
    """The VEC, packet 2 at 0x80, also waits for semaphore 9, which nothing signals."""
    path = tmp_path / "deadlock.bin"
    program = make_program()
    wait = decode(program.heaps[0].data[128:192])["wait"]
    image.save(with_packet(2, wait=wait | 1 << 9), path)
    return path


@pytest.mark.parametrize(
    "backend", ["sim", pytest.param("rtl", marks=[pytest.mark.slow, pytest.mark.xdist_group("rtl tiny")])]
)
def test_a_deadlock_ends(backend: str, input_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    command = [sys.executable, "-m", "vlarun", str(deadlock_file(tmp_path)), "--input", str(input_file)]
    done = subprocess.run(
        [*command, "--output", str(out), "--backend", backend],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr and not out.exists()
    assert "DEADLOCK at packet 2 (address 0x80)" in done.stderr


def test_check_refuses_a_deadlock_before_it_runs(
    input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused([deadlock_file(tmp_path), "--input", input_file, "--check"], tmp_path, capsys)
    assert "packet 2" in message and "semaphore 9" in message


def test_a_loop_is_refused_at_load(input_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = make_program()
    program.heaps[0] = Segment(0, encode(make_packet("JUMP", target=0)))
    program.sources.clear()
    path = tmp_path / "loop.bin"
    image.save(program, path)
    assert "JUMP goes back" in refused([path, "--input", input_file], tmp_path, capsys)
