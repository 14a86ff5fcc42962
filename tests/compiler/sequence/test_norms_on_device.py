"""LayerNormalization and RMSNormalization on the device: odd rows and odd constants beside float64."""

import numpy as np
import onnx
import pytest
from blocks import Sequence
from on_device import check, run
from one_op import refused

KINDS = ["LayerNormalization", "RMSNormalization"]


def norm_model(kind, gamma, beta=None, epsilon=1e-5, rows=9):
    """A norm in front of a Linear, so that it writes int8."""
    g, d = Sequence(kind), len(gamma)
    inputs = [g.input("x", (1, rows, d)), g.constant(np.asarray(gamma, np.float32))]
    if beta is not None:
        inputs.append(g.constant(np.asarray(beta, np.float32)))
    y = g.node(kind, inputs, d, epsilon=epsilon)
    return g.finished(g.linear(y, d, 24))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 7, 8, 40, 129])
def test_any_number_of_channels(kind, channels):
    rng = np.random.default_rng(channels)
    check(norm_model(kind, rng.uniform(0.5, 2, channels)), "tiny", least=20.0 if channels > 1 else -400.0)


def test_gammas_of_both_signs_and_zero_with_any_beta():
    gamma = np.array([1.0, -1.0, 0.0, 0.0, 1e-7, -1e-7, 3.0, -0.01] * 3)
    beta = np.array([0.5, -0.5, 1.0, 0.0, 1.0, -2.0, 0.0, 1.5] * 3)
    check(norm_model("LayerNormalization", gamma, beta))


def test_a_result_that_is_returned_is_int16():
    """A post-norm stream: one rounding of the last scaling, which int16 shows."""
    g = Sequence("post")
    y = g.norm(g.input("x", (1, 11, 40)), 40)
    found = run(g.finished(y))
    assert found.snr > 75
    (tensor,) = found.state.program.outputs
    assert tensor.layout.planes == 2


def test_rows_without_variance_are_beta():
    gamma, beta = np.linspace(0.5, 2, 24), np.linspace(-1, 1, 24)
    g = Sequence("constant")
    x = g.node("MatMul", [g.input("x", (1, 5, 6)), g.constant(np.ones((6, 24), np.float32))], 24)
    y = g.node("LayerNormalization", [x, *(g.constant(v.astype(np.float32)) for v in (gamma, beta))], 24)
    found = run(g.finished(y))
    assert np.abs(found.outputs[y] - beta).max() < 1e-3


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("shape", [(1,), (1, 5)], ids=["vector", "rows"])
def test_of_parts_that_end_inside_a_block(shape, config):
    """Joints, gripper and features in one vector: their int16 channels are put in order by moves."""
    g = Sequence("parts")
    parts = [g.linear(g.input("x", (*shape, 24)), 24, 21), g.input("y", (*shape, 7)), g.input("z", (*shape, 12))]
    x = g.node("Concat", parts, 40, axis=-1)
    y = g.node("Add", [x, g.linear(g.norm(x, 40), 40, 40)], 40)
    check(g.finished(g.linear(g.norm(y, 40), 40, 9)), config, samples=64)


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_of_chunks_that_end_inside_a_block(config):
    g = Sequence("chunks")
    both = g.linear(g.input("x", (1, 7, 32)), 32, 40)
    g.nodes.append(onnx.helper.make_node("Split", [both], ["a", "b"], axis=2, num_outputs=2))
    total = g.norm(g.node("Add", ["a", "b"], 20), 20)
    check(g.finished(g.linear(total, 20, 9), g.linear(g.norm("b", 20), 20, 9)), config, samples=64)


@pytest.mark.parametrize("kind", KINDS)
def test_other_axes_are_refused(kind):
    g = Sequence("axes")
    y = g.node(kind, [g.input("x", (1, 5, 24)), g.constant(np.ones((5, 24), np.float32))], 24, axis=1)
    refused(g.finished(y), f"{kind} '", "over the last axis alone", "axis 1 of shape [1, 5, 24]")
