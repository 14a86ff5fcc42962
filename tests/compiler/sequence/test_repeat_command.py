"""`vlac compile` of a repeated model: carried state, number of the round, `--verify` and the printed loss."""

import re

import numpy as np
import onnx
import pytest
from test_rounds import STEPS, D, euler, flow, repeated, samples

import vlarun
from vla_isa import hardware, image
from vla_toolchain.verify.nodes import NodeCheck
from vla_toolchain.verify.program import Verification
from vla_toolchain.vlac_cli import main
from vla_toolchain.vlarun_cli import main as run_main
from vlac.report.summary import summary


def starts(count, seed):
    """Inputs of so many first rounds, each on a leading axis."""
    found = [s for s in samples(flow(), np.random.default_rng(seed), count) if not s.get("step", 1)]
    return {name: np.stack([s[name] for s in found]) for name in ("x", "condition")}


def compiled(folder, model, *options):
    onnx.save(model, folder / "model.onnx")
    arguments = ["compile", folder / "model.onnx", "-o", folder / "p.bin", "--config", "tiny", *options]
    assert main([str(a) for a in arguments]) == 0


def test_all_rounds_from_the_command_line(tmp_path, capsys):
    """Verified node by node and as a whole; the loss is that of all rounds in float; the Python API's program."""
    model, calibration = flow(), starts(8, 1)
    np.savez(tmp_path / "calib.npz", **calibration)
    carry = f"x={model.graph.output[0].name}"
    how = ("--calib", tmp_path / "calib.npz", "--carry", carry, "--repeat", STEPS, "--counter", "step")
    compiled(tmp_path, model, *how, "--verify")
    said = capsys.readouterr().out
    assert "all rounds in one program" in said and "0 LSB, 100.000 % equal" in said
    assert float(re.search(r"SNR to the float model.* (\d+\.\d)\s+dB", said, re.S)[1]) > 20, said
    np.savez(tmp_path / "in.npz", **starts(1, 2))
    assert (
        run_main([str(tmp_path / "p.bin"), "--input", str(tmp_path / "in.npz"), "--output", str(tmp_path / "y")]) == 0
    )
    given = {name: a[0] for name, a in starts(1, 2).items()}
    wanted = vlarun.Session(repeated().program).run(given)
    with np.load(tmp_path / "y") as found:
        assert all(np.allclose(found[name][0], wanted[name], atol=0.1) for name in wanted)


@pytest.mark.parametrize("kind", ["Loop", "Scan"])
def test_a_loop_inside_is_verified_round_by_round(kind, tmp_path, capsys):
    compiled(tmp_path, euler(kind), "--calib", "random:16", "--verify")
    said = capsys.readouterr().out
    assert "all rounds in one program" in said and "end: at most 0 LSB" in said
    assert "the rewritten float model beside the given one" in said


def test_work_is_that_of_all_rounds(tmp_path, capsys):
    """Two products of a row of D and 2 D values in each."""
    compiled(tmp_path, euler("Loop"), "--calib", "random:16")
    said = capsys.readouterr().out
    assert f", {STEPS * 4 * D * D / 1e6:.2f} MMAC, " in said.replace("\n", " ")
    facts = summary(image.load(tmp_path / "p.bin"))
    assert facts["macs"] == STEPS * 4 * D * D
    assert facts["utilization"] == facts["macs"] / (facts["cycles"] * hardware.load("tiny").macs_per_cycle)


def test_rounds_that_differ_are_a_fault():
    (fault,) = Verification(rounds=[NodeCheck("x", 4, 1, 1)]).faults(exact=False)
    assert "not its runs" in fault
