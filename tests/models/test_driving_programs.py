"""Driving policies compile with nothing on the host, have the same bits on both backends, and say what torch says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlarun
from vla_isa import timing
from vla_models.driving.names import BRANCHES, COMMAND, CONTROL

POLICIES = [("driving_vgg", {}), ("driving_tiles", {}), ("driving_tiles", {"gated": True})]


def one(inputs: dict[str, np.ndarray], frame: int = 0) -> dict[str, np.ndarray]:
    return {name: values[frame : frame + 1] for name, values in inputs.items()}


def same_bits(program: Any, inputs: dict[str, np.ndarray]) -> None:
    found = [vlarun.Session(program, backend=backend).run(inputs, raw=True) for backend in ("sim", "rtl")]
    for name, values in found[0].items():
        assert np.array_equal(values, found[1][name]), name


@pytest.mark.parametrize(("name", "options"), POLICIES)
def test_a_small_one_has_the_same_bits_on_rtl_and_is_near_torch(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    from driving_programs import SMALL, made, program_of, torch

    policy = made(name, SMALL[name] | options)
    program, inputs = program_of(policy, "tiny", tmp_path)
    same_bits(program, one(inputs))
    session = vlarun.Session(program, backend="sim")
    errors, size = [], []
    for branch in range(len(BRANCHES)):  # of one image, so that a wrong branch or mask is seen
        frame = one(inputs) | {COMMAND: np.eye(len(BRANCHES), dtype=np.float32)[[branch]]}
        with torch.no_grad():
            wanted = policy.graphs()[0].module(*map(torch.from_numpy, frame.values()))[0].numpy()
        errors.append(session.run(frame)[CONTROL] - wanted)
        size.append(wanted)
    assert np.abs(errors).max() < 0.1 * np.abs(size).max()
    if name == "driving_tiles":  # whose branches differ with random weights, too
        assert np.ptp(np.array(size), axis=0).max() > 0.3 * np.abs(size).max()


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_each_task_is_an_entry_point_that_does_what_its_command_does(config: str, tmp_path: Path) -> None:
    """The same bytes as with everything computed and gated.

    In the gates' share of the trunk's multiply-accumulates, and with one branch of six beside each other.
    """
    from driving_programs import SMALL, live_share, made, program_of

    policy = made("driving_tiles", SMALL["driving_tiles"] | {"gated": True})
    program, inputs = program_of(policy, config, tmp_path)
    assert list(program.entries) == ["main", *BRANCHES]
    session, every = vlarun.Session(program), timing.estimate(program.at("main")).macs
    shares = live_share(policy.gates.table(), policy.trunk.macs).tolist()
    assert len(set(shares)) > 1 and max(shares) < 1
    convs, fused, (width,) = sum(policy.trunk.macs), policy.config.fused, policy.config.branch
    others = (len(BRANCHES) - 1) * width * (fused + len(BRANCHES) * 2)
    for number, task in enumerate(BRANCHES):
        frame = one(inputs) | {COMMAND: np.eye(len(BRANCHES), dtype=np.float32)[[number]]}
        whole, cycles = session.run(frame, raw=True), session.stats["cycles"]
        part = session.run(frame, raw=True, entry=task)
        assert all(np.array_equal(part[name], array) for name, array in whole.items()), task
        assert session.stats["cycles"] < cycles
        saved = every - timing.estimate(program.at(task)).macs - round(convs * (1 - shares[number])) - others
        assert 0 <= saved < width * len(BRANCHES) * 2  # a block of controls that are all of other branches is skipped


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), POLICIES)
def test_the_whole_one_leaves_nothing_for_the_host_and_has_the_same_bits_on_rtl(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    from driving_programs import made, program_of

    program, inputs = program_of(made(name, options), "u50", tmp_path)
    same_bits(program, one(inputs))
