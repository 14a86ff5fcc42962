"""Whole graphs: estimated cycles, MACs, the same program every time."""

import graphs
import numpy as np
import pytest
from parity import compile_proto

from vla_isa import timing


@pytest.mark.parametrize(
    ("name", "config", "limit"),
    [
        ("conv_128", "u50", 305_000),
        ("three_convs", "u50", 10_500),
        ("gemm_4096", "u50", 9_600),
        ("carla_frame", "u50", 260_000),
        ("carla_frame", "u50-2port", 420_000),
    ],
)
def test_estimated_cycles_stay_within_the_published_targets(name, config, limit):
    program = compile_proto(graphs.GRAPHS[name](), config, calib="random:1").program
    assert timing.estimate(program).total_cycles <= limit


def test_macs_are_those_of_the_model_also_after_space_to_depth():
    program = compile_proto(graphs.carla_frame(), calib="random:1").program
    convs = [
        (3, 32, 128),
        (32, 64, 64),
        (64, 128, 32),
        (128, 256, 16),
        (256, 512, 8),
        (512, 512, 4),
        (512, 512, 2),
        (512, 1024, 1),
    ]
    dense = [(1024, 512), (512, 256), (256, 256), (256, 2)]
    expected = sum(i * o * 9 * s * s for i, o, s in convs) + sum(k * n for k, n in dense)
    assert sum(s.macs for s in program.sources) == expected


def test_a_program_is_the_same_every_time():
    first, second = (compile_proto(graphs.demo_policy()).program for _ in range(2))
    assert [h.data for h in first.heaps] == [h.data for h in second.heaps]
    assert np.array_equal(first.weights, second.weights)
