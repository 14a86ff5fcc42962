"""RotaryEmbedding on the device: halves and pairs, whole and partly rotated heads, beside float64."""

import pytest
from blocks import Block
from on_device import check

BLOCKS = [
    Block(rotary=20, length=11),
    Block(rotary=12, length=11),
    Block(rotary=20, interleaved=True),
    Block(rotary=6, interleaved=True, channels=72, heads=4, key_heads=2, causal=True, rms=True),
    Block(rotary=64, channels=128, packed=True),
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
