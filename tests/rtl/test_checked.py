"""The `checked` machine: the assertions of rtl/sva are in it, quiet on a right machine and loud on a broken one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bench import RTL
from programs import LOAD, STORE, copy, halt, program

from vla_isa import hardware
from vlarun.backends import rtl_build
from vlarun.backends.base import run_once
from vlarun.backends.rtl import RtlBackend, RtlOptions
from vlarun.conformance.runner import Choice, run
from vlarun.errors import MachineError

TINY = hardware.load("tiny")
# a grant that does not look at the counts
RIGHT = "covered[c] = want_q[c] && (mask_q[16*c +: 16] & ~above_zero) == 16'd0;"
WRONG = "covered[c] = want_q[c];"


@pytest.mark.slow
def test_conformance_of_the_checked_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rtl_build.OPTIMIZE, "1")  # built for this test alone
    outcome = run(Choice(backend="rtl", config="tiny", suites=("T0", "T1"), stalls="random", checked=True))
    assert [f"{r.id}: {r.problem}" for r in outcome.results if r.problem] == []
    assert len(outcome.results) > 500


@pytest.mark.slow
def test_an_assertion_ends_the_run_with_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A semaphore unit that grants everything: the assertion names the module and what is wrong."""
    broken = tmp_path / "rtl"
    for folder in ("src", "lib", "sva", "sim", "generated"):
        shutil.copytree(RTL / folder, broken / folder)
    file = broken / "src" / "vla_semaphores.v"
    text = file.read_text(encoding="utf-8")
    assert text.count(RIGHT) == 1
    file.write_text(text.replace(RIGHT, WRONG), encoding="utf-8")
    monkeypatch.setattr(rtl_build, "source_folder", lambda: broken)
    monkeypatch.setenv(rtl_build.OPTIMIZE, "0")  # it runs a few hundred cycles
    monkeypatch.setattr(rtl_build, "cache_folder", lambda kind: tmp_path / "cache")
    waits = program(TINY, [copy(LOAD, n0=64, n1=1, n2=1, n3=1, signal=1), copy(STORE, wait=1), halt()])
    with pytest.raises(MachineError, match="an assertion failed"):
        run_once(RtlBackend(RtlOptions(flavour="checked")), waits, {})
    assert "a semaphore at zero is taken" in "".join(capfd.readouterr())
