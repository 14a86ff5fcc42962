"""Tasks: each entry point computes the model with its dead blocks multiplied by 0, and united tasks that of all blocks.

The reference is the model itself in ONNX Runtime, with masks that the test puts in, and the quantized model whose dead
weights are 0, compiled without any task.
"""

from __future__ import annotations

from typing import Any

import graphs
import numpy as np
import onnx
import pytest
import task_nets
from numpy.typing import NDArray
from task_nets import Masks, masked_model, run_onnx, zeroed_model

import vlarun
from vla_isa import image, timing
from vla_isa.program import Program
from vlac import CompileOptions, compile_file, compile_model

BLOCK = 16
TASKS: dict[str, dict[str, list[int]]] = {
    "left": {"conv0": [0], "conv3": [1], "conv5": [], "conv7": [0, 2], "conv12": [1, 2], "conv14": [1]},
    "right": {"conv3": [0], "conv5": [1], "conv7": [1], "conv12": [0, 2], "conv14": [0]},
}
THREE = {
    "half": {"conv0": [1], "conv2": [0, 1, 2, 3], "conv4": [0, 2, 5, 7]},
    "quarter": {"conv0": [0], "conv2": [2], "conv4": [1, 3, 4, 6]},
}


UNITED: Masks = {"conv3": [0, 1], "conv5": [1], "conv7": [0, 1, 2], "conv12": [0, 1, 2], "conv14": [0, 1]}


def compiled(model: onnx.ModelProto, config: str, tasks: Any, calibration: Any = None) -> Any:
    given = {"block": BLOCK, "tasks": tasks} if tasks else None
    return compile_file(model, config, CompileOptions(calibration=calibration, task_masks=given))


def calibrated(model: onnx.ModelProto, config: str) -> onnx.ModelProto:
    """The model with its scales, so that both ways of compiling it start from the same integers."""
    return compiled(model, config, None, calibration="random:4").qdq


def some_input(model: onnx.ModelProto, seed: int = 5) -> dict[str, NDArray[np.float32]]:
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return {model.graph.input[0].name: np.random.default_rng(seed).standard_normal(dims).astype(np.float32)}


def check_against_model(qdq: onnx.ModelProto, masks: Masks, outputs: dict[str, Any], scales: dict[str, float]) -> None:
    """At most 1 LSB, and nearly everywhere none, from ONNX Runtime with the masks put in."""
    wanted = run_onnx(masked_model(qdq, masks, BLOCK), some_input(qdq))
    for name, array in wanted.items():
        steps = np.abs(array - outputs[name]) / scales[name]
        assert steps.max() < 1.5, name
        assert (steps > 0.5).mean() < 0.002, name


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_every_task_is_the_masked_model(config: str) -> None:
    qdq = calibrated(task_nets.branches(), config)
    program = image.loads(image.dumps(compiled(qdq, config, TASKS).program))
    session, scales = vlarun.Session(program), {o.name: o.scale for o in program.outputs}
    inputs, seen = some_input(qdq), []
    for entry, masks in {None: {}, **TASKS, "left+right": UNITED}.items():
        raw = session.run(inputs, raw=True, entry=entry)
        plain = vlarun.Session(compile_model(zeroed_model(qdq, masks, BLOCK), config))
        for name, array in plain.run(inputs, raw=True).items():
            assert np.array_equal(raw[name], array), (entry, name)
        check_against_model(qdq, masks, session.run(inputs, entry=entry), scales)
        seen.append(raw[program.outputs[0].name].tobytes())
    assert len(set(seen)) == 4  # no two tasks are one by accident


def test_the_machine_runs_every_task_and_what_unites_them() -> None:
    qdq = calibrated(task_nets.branches(), "tiny")
    program, inputs = compiled(qdq, "tiny", TASKS).program, some_input(qdq)
    sim, rtl = vlarun.Session(program), vlarun.Session(program, backend="rtl")
    for entry in ("main", *TASKS, "left+right", "right+main"):
        wanted, found = sim.run(inputs, raw=True, entry=entry), rtl.run(inputs, raw=True, entry=entry)
        assert all(np.array_equal(found[name], array) for name, array in wanted.items()), entry
        estimate = sim.stats["cycles"]
        assert abs(rtl.stats["cycles"] - estimate) <= 0.03 * estimate, entry


def test_united_tasks_are_the_task_of_all_blocks() -> None:
    qdq = calibrated(task_nets.branches(), "tiny")
    inputs = some_input(qdq)
    program = compiled(qdq, "tiny", {**TASKS, "both": UNITED}).program
    session = vlarun.Session(program)
    for entry in ("left+right", "right+left", "left+right+left"):
        united, both = (session.run(inputs, raw=True, entry=e) for e in (entry, "both"))
        assert all(np.array_equal(united[name], array) for name, array in both.items())
        assert_same_walk(program.at(entry), program.at("both"))
    assert program.weights is program.at("left+right").weights


def assert_same_walk(a: Program, b: Program) -> None:
    """As many cycles and multiply-accumulates of every packet."""
    one, two = timing.estimate(a), timing.estimate(b)
    assert one.total_cycles == two.total_cycles
    first, second = (next(iter(p.entries.values())) for p in (a, b))
    macs = [{s.packet - at: s.macs for s in p.sources} for p, at in ((a, first), (b, second))]
    count = len(one.packets)
    assert [macs[0].get(i) for i in range(count)] == [macs[1].get(i) for i in range(count)]
