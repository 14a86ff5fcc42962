"""RotaryEmbedding on the device: halves and pairs, whole and partly rotated heads, beside float64."""

import numpy as np
import onnx
import pytest
from blocks import Block, Sequence
from on_device import check

from vla_isa.encoding import decode
from vla_isa.generated.codes import RowFunction
from vla_isa.trace import packets as words_of


def decoded(program):
    return [decode(word) for word in words_of(program)]


BLOCKS = [
    Block(rotary=20, length=11),
    Block(rotary=12, length=11),
    Block(rotary=20, interleaved=True),
    Block(rotary=6, interleaved=True, channels=72, heads=4, key_heads=2, causal=True, rms=True),
    Block(rotary=64, channels=128, packed=True),
    Block(rotary=8, channels=32, heads=4, key_heads=1, length=17),
    Block(rotary=6, channels=40, heads=5, key_heads=5, interleaved=True, length=11),
]


@pytest.mark.parametrize("config", ["tiny", "u50"])
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block(block, config):
    found = check(block.model(), config, least=33.0)
    assert sum(s.kind == "rotation" for s in found.stages) == 2


def test_queries_and_keys_are_rotated_in_two_instructions():
    """Heads are rows of one instruction, and halves lie where it reads them: no copies."""
    found = check(Block(rotary=64, channels=128, length=20).model())
    assert found.packets.count("RotaryEmbedding") == 2 * 4
    assert found.packets.count("Reorder") == 0


@pytest.mark.parametrize(("length", "packets"), [(17, 3 + 1), (3, 1 + 1)])
def test_small_heads_are_rotated_in_one_instruction(length, packets):
    """A layer makes them twice, one beside the other: of 8 heads of queries 2, 3 and 3 to an instruction, or all."""
    found = check(Block(rotary=16, channels=128, heads=8, key_heads=1, length=length).model())
    assert found.packets.count("RotaryEmbedding") == packets
    assert found.packets.count("Reorder") == 0
    rows = [p for p in decoded(found.state.program) if p.name == "ROW" and p["function"] == RowFunction.PAIRS]
    assert len(rows) == packets


@pytest.mark.parametrize("kind", ["constants", "computed", "rows"])
@pytest.mark.parametrize("factor", [1.4, 0.25])
def test_longer_than_one(kind, factor):
    """YaRN and LongRoPE multiply cosines and sines: as constants, of position numbers, or as rows by such numbers."""
    g, length, half = Sequence("long"), 9, 4
    x = g.input("x", (1, length, 32))
    steps = 100.0 ** -np.linspace(0, 1, half)
    angles = np.outer(np.arange(64 if kind == "rows" else length), steps)
    tables = [g.constant((factor * f(angles)).astype(np.float32)) for f in (np.cos, np.sin)]
    if kind == "rows":
        tables = [g.node("Gather", [t, g.numbers(f"at{i}", length)], half) for i, t in enumerate(tables)]
    elif kind == "computed":
        real = g.node("Cast", [g.numbers("at", length)], 1, to=onnx.TensorProto.FLOAT)
        column = g.node("Reshape", [real, g.constant(np.array([1, length, 1]))], 1)
        whole = g.node("MatMul", [column, g.constant(steps.reshape(1, half).astype(np.float32))], half)
        turned = [g.node(f, [whole], half) for f in ("Cos", "Sin")]
        tables = [g.node("Mul", [t, g.constant(np.float32(factor))], half) for t in turned]
    else:
        tables = [g.node("Reshape", [t, g.constant(np.array([1, length, half]))], half) for t in tables]
    y = g.node("RotaryEmbedding", [g.linear(x, 32, 32), *tables], 32, num_heads=4)
    check(g.finished(g.linear(y, 32, 32)), "tiny", least=29.0, samples=64)
