"""Tasks: each entry point computes the model with its dead blocks multiplied by 0, and united tasks that of all blocks.

The reference is the model itself in ONNX Runtime, with masks that the test puts in, and the quantized model whose dead
weights are 0, compiled without any task.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import onnx
import pytest
import task_cycles
import task_nets
from graphs import GraphBuilder
from numpy.typing import NDArray
from task_nets import Masks, masked_model, run_onnx, zeroed_model

import vlarun
from vla_isa import image, timing
from vla_isa.errors import ProgramError, VlaError
from vla_isa.program import Program, Segment
from vla_isa.tasks import LiveBlocks, Tasks
from vlac import CompileOptions, compile_file, compile_graphs, compile_model
from vlac.report.tasks import task_costs
from vlarun.backends.base import entry_line

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
    errors = []
    for entry in ("main", *TASKS, "left+right", "right+main"):
        wanted, found = sim.run(inputs, raw=True, entry=entry), rtl.run(inputs, raw=True, entry=entry)
        assert all(np.array_equal(found[name], array) for name, array in wanted.items()), entry
        errors.append(sim.stats["cycles"] - rtl.stats["cycles"])
    assert max(errors) - min(errors) <= 20, errors  # masks add none to what the model has for the dense program


def test_united_tasks_are_the_task_of_all_blocks() -> None:
    qdq = calibrated(task_nets.branches(), "tiny")
    inputs = some_input(qdq)
    program = compiled(qdq, "tiny", {**TASKS, "both": UNITED}).program
    session = vlarun.Session(program)
    for entry in ("left+right", "right+left", "left+right+left"):
        united, both = (session.run(inputs, raw=True, entry=e) for e in (entry, "both"))
        assert all(np.array_equal(united[name], array) for name, array in both.items())
        assert counted(program.at(entry)) == counted(program.at("both"))
    assert program.weights is program.at("left+right").weights


def test_a_product_is_dead_where_its_masked_factor_is() -> None:
    """What reads it skips its dead blocks; with both factors masked, in two tasks, nothing is dead in these united."""
    g = graphs.GraphBuilder("product", seed=1)
    x = g.input("x", (1, 16, 8, 8))
    y = g.conv(g.node("Mul", [g.conv(x, 32, 1), g.conv(x, 32, 1)], 32), 16, 1)
    qdq = calibrated(g.model(y), "tiny")
    first, second, _ = (n.name for n in qdq.graph.node if n.op_type == "Conv")
    both = {"one": {first: [0]}, "two": {second: [0]}}
    program = compiled(qdq, "tiny", both).program
    session, inputs = vlarun.Session(program), some_input(qdq)
    for entry, masks in {"one": both["one"], "two": both["two"], "one+two": {}}.items():
        plain = vlarun.Session(compile_model(zeroed_model(qdq, masks, BLOCK), "tiny"))
        found = session.run(inputs, raw=True, entry=entry)
        for name, array in plain.run(inputs, raw=True).items():
            assert np.array_equal(found[name], array), (entry, name)
    alone = compiled(qdq, "tiny", {"one": {first: [0]}}).program
    assert counted(alone.at("main")) - counted(alone.at("one")) == 64 * (
        16 * 16 + 16 * 16
    )  # half of the first convolution, and half of the last one


def counted(program: Program) -> int:
    return timing.estimate(program).macs


@pytest.fixture(scope="module")
def three() -> Program:
    """The three convolutions with live output blocks 1/2, 4/4, 4/8 and 1/2, 1/4, 4/8."""
    return compiled(calibrated(graphs.three_convs(), "u50"), "u50", THREE).program


@pytest.mark.parametrize(("task", "macs", "most"), [("half", 7_077_888, 6_500), ("quarter", 3_538_944, 4_500)])
def test_three_convolutions_on_the_machine(three: Program, task: str, macs: int, most: int) -> None:
    rtl, sim = vlarun.Session(three, backend="rtl"), vlarun.Session(three)
    inputs = some_input(graphs.three_convs())
    found, wanted = rtl.run(inputs, raw=True, entry=task), sim.run(inputs, raw=True, entry=task)
    assert all(np.array_equal(found[name], array) for name, array in wanted.items())
    assert rtl.stats["cycles"] <= most
    assert rtl.stats["macs"] == macs
    assert abs(sim.stats["cycles"] - rtl.stats["cycles"]) <= 0.03 * rtl.stats["cycles"]


def pruned(qdq: onnx.ModelProto) -> onnx.ModelProto:
    """The model with weights of 0 in whole blocks, as training prunes them; biases stay."""
    out = onnx.ModelProto()
    out.CopyFrom(qdq)
    made = {v: n for n in out.graph.node for v in n.output}
    node = next(n for n in out.graph.node if n.name == "conv14")
    (tensor,) = [t for t in out.graph.initializer if t.name == made[node.input[1]].input[0]]
    weight = onnx.numpy_helper.to_array(tensor).copy()
    weight[:BLOCK] = 0  # an out block that is its bias
    weight[BLOCK:, :BLOCK] = 0
    tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    return out


@pytest.mark.parametrize("masks", [{"conv12": []}, {"conv12": [0]}, {"conv12": [1]}, {"conv12": [0], "conv14": [1]}])
def test_a_live_block_of_dead_inputs_has_its_bias(masks: dict[str, list[int]]) -> None:
    for qdq in (source := calibrated(task_nets.branches(), "tiny"), pruned(source)):
        inputs, program = some_input(qdq), compiled(qdq, "tiny", {"some": masks}).program
        plain = vlarun.Session(compile_model(zeroed_model(qdq, masks, BLOCK), "tiny")).run(inputs, raw=True)
        for backend in ("sim", "rtl"):
            found = vlarun.Session(program, backend=backend).run(inputs, raw=True, entry="some")
            assert all(np.array_equal(found[name], array) for name, array in plain.items()), backend


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_scales_reach_what_a_task_reaches(method: str) -> None:
    """Two blocks that cancel each other in the dense network: one alone is much larger than their sum."""
    g = GraphBuilder("cancel", seed=1)
    x = g.conv(g.input("x", (1, 8, 8, 8)), 8)
    twice = g.constant(np.concatenate([g.weight(8, 8, 1, 1)] * 2))
    y = g.node("Conv", [x, twice], 16)
    half = g.weight(8, 8, 1, 1)
    z = g.node("Conv", [y, g.constant(np.concatenate([half, -0.99 * half], axis=1))], 8)
    model, masks = g.model(z), {"conv2": [0]}
    options = CompileOptions(calibration="random:4", calibration_method=method, task_masks={"one": masks})
    found = vlarun.Session(compile_model(model, "tiny", options)).run(some_input(model), entry="one")[z]
    wanted = run_onnx(masked_model(model, masks, 8), some_input(model))[z]
    assert ((found - wanted) ** 2).sum() < 1e-3 * (wanted**2).sum()


def test_runs_of_live_blocks_are_packets_of_their_own() -> None:
    qdq, masks = calibrated(graphs.three_convs(), "tiny"), {"conv0": [0, 2, 3], "conv2": [1, 4, 5, 7], "conv4": [2, 9]}
    program = compile_model(qdq, "tiny", CompileOptions(task_masks={"some": masks}))
    made = [[s.op for s in p.sources if s.node == "conv0+relu1"] for p in (compile_model(qdq, "tiny"), program)]
    dense, both = (ops.count("Conv") for ops in made)
    assert both - dense > dense  # two packets in place of one, where there are pixels enough
    inputs = some_input(qdq)
    plain = vlarun.Session(compile_model(zeroed_model(qdq, masks, 8), "tiny")).run(inputs, raw=True)
    for backend in ("sim", "rtl"):
        found = vlarun.Session(program, backend=backend).run(inputs, raw=True, entry="some")
        assert all(np.array_equal(found[name], array) for name, array in plain.items()), backend


@pytest.mark.slow
def test_cycles_fall_as_the_multiply_accumulates_do() -> None:
    """A driving network with 35.3 % dead tiles, on the Verilog machine."""
    model = graphs.carla_frame()
    masks = {"block": task_cycles.TILE, "tasks": {"sparse": task_cycles.sparse_tiles(model)}}
    program = compile_model(model, "u50", CompileOptions(calibration="random:2", task_masks=masks))
    rtl, sim = vlarun.Session(program, backend="rtl"), vlarun.Session(program)
    dense, sparse = (task_cycles.measured(program, entry, rtl, sim, some_input(model)) for entry in ("main", "sparse"))
    assert dense["equal"] and sparse["equal"]
    live = sum(len(tiles) for tiles in masks["tasks"]["sparse"].values())
    assert (live, dense["conv_macs"]) == (123, 368_050_176)
    share = sparse["cycles"] / dense["cycles"] / (sparse["conv_macs"] / dense["conv_macs"])
    assert abs(share - 1) <= task_cycles.SLACK


def test_weights_are_stored_once(three: Program) -> None:
    alone = compile_model(calibrated(graphs.three_convs(), "u50"), "u50")
    assert np.array_equal(three.weights, alone.weights)
    costs = {c.task: c for c in task_costs(three)}
    assert costs["main"].parameters == 288 * 32 // 2 + 9 * (32 * 64 + 64 * 128) + 32 + 64 + 128
    assert costs["quarter"].parameters == 9 * (16 * 16 + 16 * 16 + 16 * 64) + 16 + 16 + 64
    assert costs["half"].weight_bytes == 9 * (16 * 16 + 16 * 64 + 64 * 64)


def test_a_file_and_the_metadata_say_the_same(tmp_path: Path) -> None:
    qdq = calibrated(task_nets.branches(), "tiny")
    text = json.dumps({"block": BLOCK, "tasks": TASKS})
    (tmp_path / "masks.json").write_text(text)
    by_file = compile_model(qdq, "tiny", CompileOptions(task_masks=tmp_path / "masks.json"))
    entry = qdq.metadata_props.add()
    entry.key, entry.value = "vlac.task_masks", text
    assert image.dumps(compile_model(qdq, "tiny")) == image.dumps(by_file)
    other = compile_model(qdq, "tiny", CompileOptions(task_masks={"mine": {"conv3": [0]}}))
    assert list(other.entries) == ["main", "mine"]  # who asks has the last word


FIRST = task_nets.branches().graph.input[0].name
BAD = {
    "[": "it is not JSON",
    "[]": "it must be .*, found \\[\\]",
    "{}": "with a task or more",
    '{"a": {"conv3": [0]}, "a": {}}': "'a' is there twice",
    '{"a": {"conv3": [0], "conv3": [1]}}': "'conv3' is there twice",
    '{"main": {}}': "task 'main': so is called",
    '{"a+b": {}}': "task 'a\\+b': a name is",
    '{" ": {}}': "a name is",
    '{"%s": {}}' % ("a" * 101): "its name has 101 characters; the limit is 100",
    json.dumps({f"t{n}": {} for n in range(257)}): "it has 257 tasks; a program has 256 at most",
    '{"a": []}': "task 'a' must be an object of convolutions, found \\[\\]",
    '{"a": {"conv4": [0]}}': "the model has no such node. Did you mean 'conv",
    '{"a": {"gemm20": [0]}}': "no such node|it is a Gemm; masks are of Conv nodes",
    '{"a": {"relu1": [0]}}': "it is a Relu; masks are of Conv nodes",
    '{"a": {"conv10": [0]}}': "it has 80 groups",
    '{"a": {"co\\u001bnv": [0]}}': r"node 'co\\x1bnv': the model has no such node",
    '{"a": {"conv3": 1}}': "it must be a list of blocks, found 1",
    '{"a": {"conv3": [4]}}': "block 4 does not exist; its 32 channels are blocks 0 to 3 of 8",
    '{"a": {"conv3": [-1]}}': "block -1 does not exist",
    '{"a": {"conv3": [1.0]}}': "a block is a whole number, found 1.0",
    '{"a": {"conv3": [true]}}': "a block is a whole number, found True",
    '{"a": {"conv3": [NaN]}}': "NaN is no number of a block",
    '{"a": {"conv3": [1, 1]}}': "block 1 is listed twice",
    '{"block": 12, "tasks": {"a": {}}}': "'block' is 12, but a block of 'tiny' has 8 channels",
    '{"block": true, "tasks": {"a": {}}}': "'block' is True",
    '{"block": 8, "input": "z", "tasks": {"a": {}}}': "'input' is 'z'; the inputs that the model reads are ",
    '{"block": 8, "input": null, "tasks": {"a": {}}}': "'input' is None",
    json.dumps({"block": 8, "input": FIRST, "tasks": {"a": {}}}): f"'input' '{FIRST}' has .* numbers for 1 tasks",
}


@pytest.mark.parametrize("text", BAD)
def test_wrong_masks_are_refused(text: str) -> None:
    model = task_nets.branches()
    entry = model.metadata_props.add()
    entry.key, entry.value = "vlac.task_masks", text
    with pytest.raises(VlaError, match=f"metadata 'vlac.task_masks'.*(?:{BAD[text]})"):
        compile_model(model, "tiny", CompileOptions(calibration="random"))


def test_what_has_no_tasks_says_so(tmp_path: Path) -> None:
    model, masks = task_nets.branches(), {"a": {"conv3": [0]}}
    with pytest.raises(VlaError, match=r"masks\.json: the file cannot be read: No such file"):
        compile_model(model, "tiny", CompileOptions(task_masks=tmp_path / "masks.json"))
    with pytest.raises(VlaError, match="no tasks; compile without --allow-host"):
        compile_file(model, "tiny", CompileOptions(calibration="random", task_masks=masks, allow_host=True))
    options = CompileOptions(calibration="random", task_masks=masks)
    with pytest.raises(VlaError, match="graph 'one' has tasks"):
        compile_graphs({"one": model, "two": model}, "tiny", options, [])


def test_entry_points_that_are_none() -> None:
    program = compiled(calibrated(task_nets.branches(), "tiny"), "tiny", TASKS).program
    session, inputs = vlarun.Session(program), some_input(task_nets.branches())
    for entry, text in (
        ("lefd", "no task 'lefd'.*Did you mean 'left'"),
        ("left+", "no task ''"),
        ("", "no task ''"),
        ("+".join(["left"] * 4), "unites 4 tasks; the program has 3"),
    ):
        with pytest.raises(ProgramError, match=text):
            session.run(inputs, entry=entry)
    with pytest.raises(ProgramError, match="unites tasks"):
        entry_line(program, "left+right")


def _damage(tasks: Tasks) -> dict[str, Tasks]:
    conv, rest = tasks.convs[0], tasks.convs[1:]
    return {
        "each task must have all three": replace(tasks, lines={**tasks.lines, "other": 0}),
        "must have one or more": replace(tasks, words=0),
        "is no constant": replace(tasks, words=tasks.words - 1),
        "its weights lie outside": replace(tasks, convs=[replace(conv, weight_word=10**6), *rest]),
        "each must be positive": replace(tasks, convs=[replace(conv, taps=0), *rest]),
        "its masks or records lie outside": replace(tasks, convs=[replace(conv, mask=tasks.words), *rest]),
        "its channels are not": replace(tasks, convs=[replace(conv, out_channels=[]), *rest]),
        "is no int8": replace(tasks, convs=[replace(conv, in_zero=200), *rest]),
        "masks of 5 convolutions, not of 6": replace(tasks, live={n: t[1:] for n, t in tasks.live.items()}),
        "are not of 0": replace(tasks, live={n: [LiveBlocks([9], []), *t[1:]] for n, t in tasks.live.items()}),
        "is of blocks": replace(tasks, packets=[replace(tasks.packets[0], conv=9)]),
    }


def _flipped(program: Program, task: str, word: int) -> Program:
    """With one bit of a task's image flipped."""
    at = program.tasks.lines[task]
    data = bytearray(next(s.data for s in program.constants if s.line == at))
    data[word * program.config.param_word_bytes] ^= 1
    constants = [Segment(at, bytes(data)) if s.line == at else s for s in program.constants]
    return replace(program, constants=constants)


def test_a_damaged_section_is_refused() -> None:
    program = compiled(calibrated(task_nets.branches(), "tiny"), "tiny", TASKS).program
    assert len(program.tasks.convs) == 6
    for text, tasks in _damage(program.tasks).items():
        with pytest.raises(ProgramError, match=text):
            image.loads(image.dumps(replace(program, tasks=tasks)))
    for name in program.tasks.lines:  # a bit of a mask, and of a bias
        for word in (program.tasks.convs[0].mask, program.tasks.convs[0].records[0]):
            told = r"\w+" if name == "main" else name  # a bias of main is seen in the first task, which has another
            with pytest.raises(ProgramError, match=f"task '{told}': its image of the parameters is not what its live"):
                image.loads(image.dumps(_flipped(program, name, word)))
    moved = {n: [LiveBlocks([0], t[0].ins), *t[1:]] for n, t in program.tasks.live.items()}
    with pytest.raises(ProgramError, match="is not what its live blocks make of that of 'main', first in word"):
        image.loads(image.dumps(replace(program, tasks=replace(program.tasks, live=moved))))
    more, text = replace(program, entries={**program.entries, "other": 0}), "each task must have all three"
    with pytest.raises(ProgramError, match=text):  # an entry point that is no task
        image.loads(image.dumps(more))
    tasks = program.tasks
    names = {name: name.replace("right", "main+left") for name in tasks.lines}
    lines, live = ({names[n]: each for n, each in found.items()} for found in (tasks.lines, tasks.live))
    entries = {names[n]: at for n, at in program.entries.items()}
    with pytest.raises(ProgramError, match=r"task 'main\+left': a name has no '\+'"):
        image.loads(image.dumps(replace(program, entries=entries, tasks=replace(tasks, lines=lines, live=live))))
