"""Operations with equal weights read the same words; each tensor is what operations with their own weights mean."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from on_device import check, run
from small_graphs import model

import vlarun

C, HIDDEN = 32, 48
RNG = np.random.default_rng(5)
BLOCK = """n{0} = LayerNormalization<axis = -1>(x{0}, gamma{0}, beta{0}) p{0} = MatMul(n{0}, up{1}) h{0} = Relu(p{0})
d{0} = MatMul(h{0}, down{1}) x{2} = Add(x{0}, d{0}) """


def weights(*shape):
    return (RNG.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


UP, DOWN = weights(C, HIDDEN), weights(HIDDEN, C)
OTHER = UP.copy()
OTHER[-1, -1] += np.abs(UP[:, -1]).max()


def steps(count, ups=(UP,)):
    """So many blocks one behind another, each with a norm of its own; block i has the i-th of `ups`, or the first."""
    body = "".join(BLOCK.format(i, i if i < len(ups) else 0, i + 1) for i in range(count)) + f"y = Identity(x{count})"
    constants = {f"up{i}": up for i, up in enumerate(ups)} | {f"down{i}": DOWN for i in range(len(ups))}
    for i in range(count):
        constants |= {f"gamma{i}": RNG.uniform(0.5, 1.5, C).astype(np.float32), f"beta{i}": weights(C)}
    used = {
        name: array for name, array in constants.items() if name in body.replace(")", " ").replace(",", " ").split()
    }
    return ir.to_proto(model(body, f"float[1,4,{C}] x0", "y", opset=20, constants=used))


@pytest.mark.parametrize("config", ["tiny", "u50"])
def test_steps_of_a_model_store_their_weights_once(config):
    one, three = (check(steps(count), config, least=20) for count in (1, 3))
    words = len(one.state.program.weights)
    assert len(three.state.program.weights) == words
    assert three.packets.count("load weights") == one.packets.count("load weights")  # they are on chip still
    found = vlarun.Session(three.state.program, backend="rtl").run(three.inputs)
    assert all(np.array_equal(found[name], array) for name, array in three.outputs.items())
    with_another = run(steps(3, (UP, OTHER)), config)
    assert words < len(with_another.state.program.weights) < 2 * words


def test_equal_weights_whose_channels_lie_elsewhere():
    """Ten channels are two blocks of eight: one after another, or as a Concat of five and five leaves them."""
    square = weights(10, 10)
    body = """a = MatMul(x, square) b = MatMul(s, left) c = MatMul(s, right) j = Concat<axis = -1>(b, c)
    d = MatMul(j, square) y = Add(a, d)"""
    constants = {"square": square, "left": weights(10, 5), "right": weights(10, 5)}
    found = run(ir.to_proto(model(body, "float[1,4,10] x, float[1,4,10] s", "y", constants=constants)), "tiny")
    assert found.snr > 25
