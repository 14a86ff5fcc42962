"""Pre-norm blocks on the device: float ONNX, calibration, `sim`; each stage beside float64, outputs beside float."""

import numpy as np
import pytest
from blocks import Block, Sequence
from on_device import check, run

BLOCKS = [
    Block(),
    Block(causal=True),
    Block(packed=True),
    Block(length=7, channels=24, heads=1, key_heads=1, causal=True),
    Block(length=33, channels=48, heads=3, key_heads=3),
    Block(heads=4, key_heads=2, channels=72, causal=True, rms=True),
    Block(heads=3, key_heads=1, channels=96, length=19),
    Block(length=75, channels=24, causal=True),
    Block(mask=np.tile(np.arange(13) < 9, (13, 1))),
    Block(mask=np.tril(np.ones((13, 13), bool), 3)),
    Block(mask=np.tile(np.arange(13) != 2, (13, 1)), causal=True),
    Block(mask=0.3 * np.abs(np.subtract.outer(np.arange(13), np.arange(13))).astype(np.float32)),
    Block(mask=np.random.default_rng(0).standard_normal((2, 13, 13)).astype(np.float32)),
]


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block(block, config):
    found = check(block.model(), config, least=33.0)
    assert {"norm", "logits", "exponents", "mix"} == {s.kind for s in found.stages}


def test_one_instruction_for_each_step():
    """Nothing is left of heads, packed projections, biases, activations and residual adds but what computes."""
    found = run(Block(packed=True).model())
    names = [
        s.op for s in found.state.program.sources if s.op not in ("load", "store", "load weights", "load parameters")
    ]
    assert names.count("LayerNormalization") == 2 * 3
    assert names.count("Attention") == 2 * 4 + 3  # keys and values of both heads are copied at once
    assert names.count("Gemm") == 4
    assert len(names) == 2 * 3 + 2 * 4 + 3 + 4


def test_a_row_whose_keys_are_all_masked_is_zero():
    mask = np.ones((13, 13), bool)
    mask[4] = False
    g = Sequence("masked")
    x = g.input("x", (1, 13, 40))
    parts = [g.linear(x, 40, 40) for _ in range(3)]
    y = g.node("Attention", [*parts, g.constant(mask)], 40, q_num_heads=2, kv_num_heads=2)
    found = run(g.finished(y))
    assert not found.outputs[y][0, 4].any()
    assert found.outputs[y][0, 3].any()


@pytest.mark.parametrize("heads", [1, 3])
def test_queries_that_are_constants(heads):
    """As a decoder asks with, in front of its first layer."""
    g = Sequence("queries")
    x = g.input("x", (1, 13, 36))
    q = g.constant(g.normal(1, 7, 36))
    y = g.node("Attention", [q, g.linear(x, 36, 36), g.linear(x, 36, 36)], 36, q_num_heads=heads, kv_num_heads=heads)
    check(g.finished(g.linear(y, 36, 20)), "tiny", least=30.0, samples=64)  # of 16, another one's outputs are cut
