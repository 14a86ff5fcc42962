"""The three on-chip memories: priorities, shared reads, lines and columns, a read beside a write."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb

HERE = Path(__file__).parent


def test_activation_lanes(tmp_path: Path) -> None:
    sizes = {"Block": 8, "ActWords": 256, "Operands": 2, "Readers": 6, "Writers": 3}
    run_cocotb("vla_act_memory", HERE / "act_memory_cocotb.py", tmp_path, **sizes)


def test_parameter_clients(tmp_path: Path) -> None:
    run_cocotb("vla_param_memory", HERE / "param_memory_cocotb.py", tmp_path, Block=16, ParamWords=64)


def test_weight_columns(tmp_path: Path) -> None:
    run_cocotb("vla_weight_memory", HERE / "weight_memory_cocotb.py", tmp_path, Block=8, WeightWords=64)
