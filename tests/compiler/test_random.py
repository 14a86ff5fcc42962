"""Random networks of every operator: legal programs, every node as ONNX Runtime computes it, the same bytes on `rtl`.

The contract for nodes is 1 unit in the last place everywhere and 99.9 % equal. Tensors here are small, so that the
share is counted over all tensors of ten networks together. A Resize whose weights are rounded to 8 bits is not what
ONNX Runtime computes: its results may differ by 2 and are not counted. On CPUs where ONNX Runtime is not exact the
nodes are not compared, and all else is checked.
"""

from dataclasses import replace

import onnx
import pytest
from graphs import GraphBuilder
from hypothesis import HealthCheck, given, settings
from parity import check_rtl, run_both
from random_graphs import networks, numbered

from vla_isa import hazards, image
from vla_isa.hardware import load
from vlac import CompileOptions, compile_file
from vlac.device.gemm import GemmOp
from vlac.errors import AllocationError
from vlac.ops import OPS

NETWORKS, TOGETHER = 300, 10
WORST = 0.0  # dB: deep networks of any function, whose ranges are those of two samples
# tests/compiler/sequence draws those
SEQUENCES = {"Attention", "LayerNormalization", "RMSNormalization", "RotaryEmbedding", "TensorScatter"}
SPLIT = {"GRU", "GroupNormalization", "InstanceNormalization", "LRN", "LSTM", "RNN"}  # of a float model other nodes
# operators that no network holds: those, two that quantization puts into each, and two that are parts of mixtures
ABSENT = {"QuantizeLinear", "DequantizeLinear", "TopK", "ScatterElements", *SEQUENCES, *SPLIT}
# too few activation words for most images
SMALL = replace(load("tiny"), name="small", act_words=512, param_words=256)


def check(model, hw, seed=1):
    """One network: compiles, is legal, and every node agrees."""
    outcome = run_both(model, hw, calib="random:2", seed=seed, worst=WORST)
    hazards.check(outcome.state.program)
    wrong = [c for c in outcome.checks if c.largest > 1 + (c.name in rounded(outcome))]
    assert not wrong
    return outcome


def rounded(outcome):
    """The results of products with weights that only nearly are those of a Resize."""
    return {op.output.label for op in outcome.state.graph.ops if op.op_type == "Resize" and isinstance(op, GemmOp)}


def check_share(outcomes):
    counted = [c for o in outcomes for c in o.checks if c.name not in rounded(o)]
    assert sum(c.different for c in counted) <= sum(c.elements for c in counted) * 1e-3


def check_each(first, one):
    """`one` of ten numbers; every one that fails is told, with its number."""
    results, failures = [], []
    for seed in range(first, first + TOGETHER):
        try:
            results.append(one(seed))
        except Exception as e:
            e.add_note(f"network {seed}")
            failures.append(e)
    if failures:
        raise ExceptionGroup(", ".join(e.__notes__[-1] for e in failures), failures)
    return results


def test_every_operator_is_drawn():
    drawn = {node.op_type for seed in range(NETWORKS) for node in numbered(seed).graph.node}
    assert {s.name for s in OPS} == drawn | ABSENT


def test_a_network_is_the_same_each_time():
    assert numbered(7).SerializeToString() == numbered(7).SerializeToString()


def test_networks_on_u50():
    check_share(check_each(NETWORKS, lambda seed: check(numbered(seed), "u50", seed)))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, NETWORKS, TOGETHER))
def test_networks_on_tiny(first):
    """`sim`, ONNX Runtime and `rtl`."""

    def one(seed):
        outcome = check(numbered(seed), "tiny", seed)
        check_rtl(outcome.state, outcome.inputs)
        return outcome

    check_share(check_each(first, one))


def test_a_program_is_the_same_each_time(tmp_path):
    """Also where tensors are streamed, in a fixed order."""
    g = GraphBuilder("streamed")
    x = g.input("x", (1, 8, 24, 24))
    for _ in range(8):
        x = g.node("Relu", [g.node("Conv", [x, g.constant(g.weight(8, 8, 3, 3))], pads=[1] * 4)])
    onnx.save(g.model(x), tmp_path / "model.onnx")
    states = [compile_file(tmp_path / "model.onnx", SMALL, CompileOptions(calibration="random:2")) for _ in range(8)]
    assert len(states[0].planned.plan.streamed) > 5
    assert len({image.dumps(state.program) for state in states}) == 1


@pytest.mark.slow
@settings(max_examples=50, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_networks_that_hypothesis_makes_smaller_when_they_fail(model):
    check(model, "tiny")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 60, TOGETHER))
def test_networks_with_a_small_scratchpad(first):
    """Images are streamed; what has no rows and does not fit is refused."""

    def one(seed):
        try:
            return check(numbered(seed), SMALL, seed).state.planned.plan.streamed
        except AllocationError:
            return ()

    assert any(check_each(first, one))
