"""Clip: bounds away from zero, which no integer range stands for."""

import numpy as np
import pytest
from one_op import check_both, image_graph
from parity import compile_proto, random_inputs, run_both

import vlarun


@pytest.mark.parametrize(
    "bounds", [(0.1, None), (0.1, 0.5), (None, -0.1), (-0.5, -0.1), (-0.2, 0.3), (0.0, 0.4)], ids=str
)
def test_no_result_lies_outside(bounds):
    def body(g, x):
        limits = ["" if b is None else g.constant(np.float32(b)) for b in bounds]
        return g.node("Clip", [g.conv(x, 5, relu=False), *limits[: 2 if limits[1] else 1]], 5)

    model = image_graph(body)
    check_both(model)
    program = compile_proto(model, "u50").program
    (found,) = vlarun.Session(program, backend="sim").run(random_inputs(program, 1)).values()
    step = program.outputs[0].scale / 2
    low, high = (np.inf * sign if b is None else b for b, sign in zip(bounds, (-1, 1), strict=True))
    assert low - step <= found.min() and found.max() <= high + step


@pytest.mark.parametrize("second", [(1, 3), (-2, -1), (0.3, 0.5)], ids=str)
def test_a_clip_of_a_clip_keeps_the_second_interval(second):
    """Also where nothing of the first lies in it."""

    def body(g, x):
        for low, high in ((0.2, 0.7), second):
            x = g.node("Clip", [x, g.constant(np.float32(low)), g.constant(np.float32(high))])
        return x

    model = image_graph(body)
    run_both(model)
    check_both(model)
