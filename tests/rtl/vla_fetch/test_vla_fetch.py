"""vla_fetch: prefetch, check, dispatch in order; JUMP, HALT, SET, LOOP, indexes, faults."""

from __future__ import annotations

from pathlib import Path

from bench import run_cocotb


def test_dispatch(tmp_path: Path) -> None:
    run_cocotb("vla_fetch", Path(__file__).with_name("fetch_cocotb.py"), tmp_path)


def test_loops(tmp_path: Path) -> None:
    run_cocotb("vla_fetch", Path(__file__).with_name("loops_cocotb.py"), tmp_path)
